//! The passphrase of a snapshot: the contents of a file, so that it stands on no command line and in no environment.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use store::snapshot::Passphrase;

/// Where the passphrase is.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct PassphraseFile {
    /// A file whose contents encrypt the snapshot: a passphrase, or what a generator of random bytes gave
    #[arg(long = "passphrase-file", value_name = "FILE")]
    pub(crate) path: Option<PathBuf>,
}

impl PassphraseFile {
    /// The contents without line ends behind them; `None` where no file was named.
    ///
    /// # Errors
    /// A file that cannot be read or says too little.
    pub(crate) fn read(&self) -> anyhow::Result<Option<Passphrase>> {
        let Some(path) = &self.path else { return Ok(None) };
        let contents = std::fs::read(path)
            .with_context(|| format!("cannot read the passphrase file {}", path.display()))?;
        let end = contents.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |at| at + 1);
        let passphrase = Passphrase::new(&contents[..end]).with_context(|| {
            let path = path.display();
            format!("the passphrase file {path} holds {end} bytes: give at least {}", Passphrase::SHORTEST)
        })?;
        Ok(Some(passphrase))
    }
}
