//! Pointsman: an edge proxy and load balancer whose upstreams change while it runs.
//!
//! The tour, from the words to the wire. Each part uses only the parts above it here.

// Vocabulary: what is said on the wire and kept in the store. It may be nonsense.
pub mod change;
pub mod nginx;
pub mod spec;
pub mod strict;

// Domain: pure rules. No clock, no randomness, no I/O.
pub mod domain;

// Ports: what the services share. The clock is read here and nowhere below.
pub mod clock;
pub mod ports;

// Effects: what is kept, the one way in for changes, what DNS says, and who else serves the state.
pub mod controller;
pub mod discovery;
pub mod fleet;
pub mod store;

// Services: what runs.
pub mod control;
pub mod edge;
pub mod health;
pub mod proxy;

// Assembly: from the command line and the file to running services.
pub mod app;
pub mod cli;
pub mod config;
