//! Pure rules: who is eligible, who is picked, where a request goes, what a change may not do.
//! Time and randomness are arguments.
