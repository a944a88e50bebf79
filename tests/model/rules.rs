//! The rules of the protocol, each of which can be broken, to see that the model would notice.

#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// A commit names the revision that it was planned on, and is refused where that is not the newest.
    pub(crate) compares: bool,
    /// What comes after a state must descend from it.
    pub(crate) descent_is_checked: bool,
    /// A state is taken over whole only after a force, or by who was in its past.
    pub(crate) successors_are_vouched_for: bool,
    /// And only where nothing was stored since it was vouched for.
    pub(crate) successors_are_for_one_place: bool,
    /// The writer takes such a state too, instead of calling itself diverged.
    pub(crate) writer_succeeds: bool,
    /// A force is numbered above what the store holds.
    pub(crate) force_is_above_all: bool,
    /// A force whose number was given meanwhile is refused.
    pub(crate) late_force_is_refused: bool,
    /// A node that serves what the store does not lead to says so.
    pub(crate) divergence_is_said: bool,
    /// A change is answered after the store has it.
    pub(crate) stored_before_answered: bool,
}

impl Rules {
    pub(crate) const REAL: Self = Self {
        compares: true,
        descent_is_checked: true,
        successors_are_vouched_for: true,
        successors_are_for_one_place: true,
        writer_succeeds: true,
        force_is_above_all: true,
        late_force_is_refused: true,
        divergence_is_said: true,
        stored_before_answered: true,
    };
}
