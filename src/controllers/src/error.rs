//! Why a controller could not finish an item. Whatever it is, the item comes back with back-off.

/// What went wrong while working on one item.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The API server refused a request or could not be reached.
    #[error(transparent)]
    Api(#[from] kube::Error),
    /// The cache does not show the present state yet; the next attempt will.
    #[error("{0}")]
    Stale(String),
    /// The object says something that the controller cannot act on.
    #[error("{0}")]
    Unusable(String),
}

impl Error {
    /// The sentence for users: the server's own where it is the server that refused.
    pub(crate) fn message(&self) -> String {
        match self {
            Error::Api(error) => client::answer::message(error),
            other => other.to_string(),
        }
    }
}

/// What was to be changed or deleted is gone already: that is as good.
pub(crate) fn ignore_absent<T>(outcome: kube::Result<T>) -> Result<(), Error> {
    match outcome {
        Err(error) if !client::answer::is_not_found(&error) => Err(error.into()),
        _ => Ok(()),
    }
}
