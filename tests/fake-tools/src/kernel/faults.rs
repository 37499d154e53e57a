//! What a kernel was asked, and what it does wrong. Invariant: without a fault it does nothing wrong.

/// A question that was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// For the family.
    Family,
    /// For a dump, by its command.
    Dump(u8),
    /// To be told what goes to a group.
    Join(u32),
}

/// What it does wrong. Where a command is named, in the answer to this one.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// It knows no family `drbd`, though the module is loaded.
    pub no_family: bool,
    /// It does not answer (3 is the question for the family).
    pub hang_on: Option<u8>,
    /// It tells the first object without end.
    pub repeat_on: Option<u8>,
    /// It refuses with this code, without end.
    pub refuse_on: Option<(u8, u32)>,
    /// It tells half of each message, with the length of the whole.
    pub truncate_on: Option<u8>,
    /// The answers have another number than the question.
    pub is_out_of_sequence: bool,
    /// So many dumps say that something changed meanwhile.
    pub interrupted: u32,
    /// Every message has attributes that nobody knows.
    pub has_new_attributes: bool,
    /// The family is of this version.
    pub family_version: Option<u32>,
    /// The family has no group.
    pub no_group: bool,
    /// It tells of volumes and peers, and of no resource that they are of.
    pub forgets_resources: bool,
    /// The module is unloaded when it is asked for this.
    pub unloads_on: Option<u8>,
    /// After this dump everything is removed.
    pub removed_after: Option<u8>,
}
