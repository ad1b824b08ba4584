//! Why a server's store has ended although nobody ended it: what the others have is not what this one could go on with.

/// What keeps a server from following the others any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fall {
    /// It was cut off for so long that what it has missed was forgotten. One that begins anew reads all of it.
    #[error("this server fell behind what the cluster remembers; start it anew")]
    Behind,
    /// There is no state any more where it was.
    #[error("the store was removed while this server did not hear of it; end it")]
    Removed,
    /// What is there is not what this server has followed until then.
    #[error(
        "the store is older than what this server has seen of it: another one was put in its place; start it anew"
    )]
    Replaced,
}
