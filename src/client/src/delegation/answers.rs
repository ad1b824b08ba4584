//! What the API server answered a moment ago: the same question is not put again while the answer holds.
//!
//! Questions are known by their hash, so that a table of tokens holds none. A question that could not be answered is put again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::Instant;

/// So many answers are kept at most: a client may ask for any number of paths, with any number of tokens.
const MOST: usize = 1024;

type Hash = [u8; 32];

/// Answers to one kind of question.
pub(super) struct Answers<T> {
    /// What was answered, and until when it holds.
    known: Mutex<HashMap<Hash, (T, Instant)>>,
}

impl<T> Default for Answers<T> {
    fn default() -> Self {
        Self { known: Mutex::default() }
    }
}

impl<T: Clone> Answers<T> {
    /// The answer to `question`: the last one while it holds, else what `ask` finds, which holds for as long as `holds` says.
    ///
    /// # Errors
    /// Those of `ask`.
    pub(super) async fn of<E>(
        &self,
        question: &[u8],
        holds: impl FnOnce(&T) -> Duration,
        ask: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let hash = Sha256::digest(question).into();
        if let Some(answer) = self.holding(&hash) {
            return Ok(answer);
        }
        let answer = ask.await?;
        match holds(&answer) {
            Duration::ZERO => {}
            holds => self.keep(hash, answer.clone(), holds),
        }
        Ok(answer)
    }

    fn holding(&self, hash: &Hash) -> Option<T> {
        let known = self.known();
        let (answer, until) = known.get(hash)?;
        (Instant::now() < *until).then(|| answer.clone())
    }

    fn keep(&self, hash: Hash, answer: T, holds: Duration) {
        let (mut known, now) = (self.known(), Instant::now());
        if known.len() >= MOST {
            known.retain(|_, (_, until)| now < *until);
        }
        // Whoever asks that much within seconds makes the API server be asked again, and nothing else.
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(hash, (answer, now + holds));
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Hash, (T, Instant)>> {
        self.known.lock().expect("no panic happens while the answers are locked")
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const HOLDS: Duration = Duration::from_secs(10);

    fn holds<T>(_: &T) -> Duration {
        HOLDS
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_holds_for_ten_seconds_and_an_error_not_at_all() {
        let (answers, asked) = (Answers::<u32>::default(), Cell::new(0));
        let ask = async || {
            asked.set(asked.get() + 1);
            if asked.get() == 1 { Err("away") } else { Ok(asked.get()) }
        };
        assert_eq!(answers.of(b"a", holds, ask()).await, Err("away"));
        assert_eq!(answers.of(b"a", holds, ask()).await, Ok(2));
        tokio::time::advance(HOLDS - Duration::from_millis(1)).await;
        assert_eq!(answers.of(b"a", holds, ask()).await, Ok(2));
        assert_eq!(answers.of(b"b", holds, ask()).await, Ok(3), "another question");
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(answers.of(b"a", holds, ask()).await, Ok(4));
    }

    #[tokio::test]
    async fn there_are_never_more_answers_than_there_may_be() {
        let answers = Answers::default();
        for question in 0..=MOST {
            answers.of::<()>(&question.to_be_bytes(), holds, async { Ok(question) }).await.unwrap();
            assert!(answers.known().len() <= MOST);
        }
        assert_eq!(
            answers.of::<()>(&MOST.to_be_bytes(), holds, async { Ok(0) }).await,
            Ok(MOST),
            "the last is kept"
        );
    }
}
