//! What somebody has seen of a thing before they change it (`If-Match`): the change is written only if nobody else has
//! changed the thing meanwhile.

/// A state of a thing, told by how many changes of it there were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// What kind of thing, as the change log calls it.
    pub kind: &'static str,
    /// Its id.
    pub subject: String,
    /// The changes of it that were written when its state was judged.
    pub changes: u64,
}
