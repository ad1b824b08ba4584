//! Calls to TiKV from threads that may block, each with an end, and the strict sorting of what they report.

use bytes::Bytes;
use std::sync::{Arc, mpsc};
use tikv_client::{CheckLevel, Config, Error, Timestamp, TransactionClient, TransactionOptions};
use tokio::runtime::Runtime;

use super::{PATIENCE, Place, probe};
use crate::EngineError;
use crate::engine::Written;

/// The most that a batch may take to be committed in one phase; TiKV's client sends no more than this at once.
const ONE_PHASE: usize = 12 << 10;

/// What all our keys begin with.
#[derive(Clone)]
pub(super) struct Prefix(Arc<[u8]>);

impl Prefix {
    pub(super) fn new(prefix: &str) -> Self {
        Self(prefix.as_bytes().into())
    }

    pub(super) fn add(&self, key: &[u8]) -> Vec<u8> {
        [&self.0, key].concat()
    }

    pub(super) fn strip(&self, key: &[u8]) -> Bytes {
        Bytes::copy_from_slice(key.strip_prefix(&*self.0).unwrap_or(key))
    }
}

/// The client, and the runtime that its connections live on.
#[derive(Clone)]
pub(super) struct Client(Arc<Inner>);

struct Inner {
    client: TransactionClient,
    runtime: Option<Runtime>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // The last handle may go on a thread that must not wait.
            runtime.shutdown_background();
        }
    }
}

impl Client {
    pub(super) fn connect(place: &Place, config: Config) -> Result<Self, EngineError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("tikv")
            .enable_all()
            .build()
            .map_err(EngineError::new)?;
        let addresses = place.endpoints.clone();
        let connect = async move { TransactionClient::new_with_config(addresses, config).await };
        let connected = wait(&runtime, 2 * PATIENCE, connect);
        let client = connected.map_err(|error| EngineError::new(nobody_there(place, &error)))?;
        Ok(Self(Arc::new(Inner { client, runtime: Some(runtime) })))
    }

    /// Runs a call to its end or to the end of our patience.
    pub(super) fn call<T: Send + 'static, F>(
        &self,
        call: impl FnOnce(TransactionClient) -> F,
    ) -> Result<T, EngineError>
    where
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let runtime = self.0.runtime.as_ref().expect("it is only taken when the last handle is dropped");
        wait(runtime, PATIENCE, call(self.0.client.clone()))
    }

    pub(super) fn timestamp(&self) -> Result<Timestamp, EngineError> {
        self.call(|client| async move { client.current_timestamp().await })
    }

    /// Writes if the key holds what is expected.
    pub(super) fn write_if(
        &self,
        key: Vec<u8>,
        expected: Option<Bytes>,
        mutations: Vec<(Vec<u8>, Option<Bytes>)>,
        is_contended: bool,
    ) -> Result<Written, EngineError> {
        let options = options(&mutations, is_contended);
        self.call(move |client| async move { write_if(&client, key, expected, mutations, options).await })
    }
}

/// What an operator is told whose PD does not answer: an address, a network or a certificate may be wrong.
fn nobody_there(place: &Place, error: &EngineError) -> String {
    let mut causes = vec![without_place(&error.to_string())];
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let text = without_place(&error.to_string());
        if causes.last() != Some(&text) {
            causes.push(text);
        }
        cause = error.source();
    }
    format!(
        "no PD answers at {}: {} ({}). Are these the addresses of PD (not of TiKV itself), can this machine reach them, \
         and are the authority, certificate and key those of that cluster?",
        place.endpoints.join(", "),
        causes.join(": "),
        probe::why(place)
    )
}

/// The client begins some of its texts with where in its sources they are from.
fn without_place(text: &str) -> String {
    let told = text
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("]: "))
        .filter(|(place, _)| place.contains(".rs:"));
    told.map_or(text, |(_, text)| text).to_owned()
}

async fn write_if(
    client: &TransactionClient,
    key: Vec<u8>,
    expected: Option<Bytes>,
    mutations: Vec<(Vec<u8>, Option<Bytes>)>,
    options: TransactionOptions,
) -> Result<Written, Error> {
    let mut transaction = client.begin_with_options(options).await?;
    if transaction.get(key.clone()).await?.as_deref() != expected.as_deref() {
        return Ok(Written::Refused);
    }
    // The first key that is touched is the transaction's primary: the one whose state decides about the whole.
    match mutations.iter().position(|(changed, _)| *changed == key) {
        None => transaction.lock_keys([key]).await?,
        Some(at) => change(&mut transaction, mutations[at].clone()).await?,
    }
    for mutation in mutations {
        change(&mut transaction, mutation).await?;
    }
    match transaction.commit().await {
        Ok(_) => Ok(Written::Done),
        Err(error) => {
            let refused = is_conflict(&error);
            if refused || matches!(error, Error::OnePcFailure) {
                // What was prepared of it would be in others' way until it times out; what was committed stays.
                drop(transaction.rollback().await);
            }
            if refused { Ok(Written::Refused) } else { Err(error) }
        }
    }
}

async fn change(
    transaction: &mut tikv_client::Transaction,
    (key, value): (Vec<u8>, Option<Bytes>),
) -> Result<(), Error> {
    match value {
        Some(value) => transaction.put(key, Vec::from(value)).await,
        None => transaction.delete(key).await,
    }
}

/// A small batch is committed in one phase, unless somebody else may be reading the condition just then: the development
/// server has no lock for a reader to meet while it does that, so of two servers that take over at once both would be told
/// that they are the one.
fn options(mutations: &[(Vec<u8>, Option<Bytes>)], is_contended: bool) -> TransactionOptions {
    let size = |(key, value): &(Vec<u8>, Option<Bytes>)| key.len() + value.as_ref().map_or(0, Bytes::len);
    let options = TransactionOptions::new_optimistic().drop_check(CheckLevel::None);
    let is_small = mutations.iter().map(size).sum::<usize>() < ONE_PHASE;
    if is_small && !is_contended { options.try_one_pc() } else { options }
}

/// Whether one of the keys was changed in the meantime, so that nothing of it will be done from here on. By somebody else, or
/// by the same transaction, if it was committed in one phase and its answer was lost.
fn is_conflict(error: &Error) -> bool {
    match error {
        Error::KeyError(error) => error.conflict.is_some(),
        Error::MultipleKeyErrors(errors) | Error::ExtractedErrors(errors) => errors.iter().any(is_conflict),
        _ => false,
    }
}

/// Lets the runtime do it and waits, on whatever thread this is.
fn wait<T: Send + 'static>(
    runtime: &Runtime,
    patience: std::time::Duration,
    call: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, EngineError> {
    let (done, result) = mpsc::sync_channel(1);
    runtime.spawn(async move {
        let outcome = tokio::time::timeout(patience, call).await;
        // Whoever waited may have gone.
        drop(done.send(outcome));
    });
    match result.recv() {
        Ok(Ok(outcome)) => outcome.map_err(EngineError::new),
        Ok(Err(_)) => Err(EngineError::new(format!("TiKV did not answer within {patience:?}"))),
        Err(_) => Err(EngineError::new("the client's runtime has ended")),
    }
}
