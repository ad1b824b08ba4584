//! What clients of the simulated cluster write, and what they are told.

use bytes::Bytes;
use rand::Rng;
use testing::history::{Call, Requires, Window};
use tokio::sync::oneshot;

use super::{World, key};
use crate::cluster::member::Input;
use crate::sequencer::{Outcome, Request};
use crate::simulation::subjects::{call, precondition, said};
use crate::{Attributes, Value, Write};

impl World {
    /// Several callers of one member at once; of the owner, if there is one, more often than not.
    pub(super) fn burst(&mut self, at: usize) {
        let owner = self.servers.iter().position(|server| server.is_owner() && server.asleep == 0);
        let at = owner.filter(|_| self.random.random_bool(0.5)).unwrap_or(at);
        let count = if self.random.random_bool(0.7) { 1 } else { self.random.random_range(2..6) };
        let asked: Vec<_> = (0..count).map(|_| self.ask(at)).collect();
        let since = self.log.tip();
        let (requests, heard): (Vec<_>, Vec<_>) =
            asked.into_iter().map(|(call, request, answer)| (Input::Commit(request), (call, answer))).unzip();
        self.tell(at, requests);
        let window = Window { since, until: self.log.tip() };
        for (call, mut answer) in heard {
            let outcome = answer.try_recv().expect("a member answers before it turns to something else");
            self.calls.push(Call { window, said: said(&outcome), ..call });
        }
    }

    /// A write with a value that no other has.
    fn ask(&mut self, at: usize) -> (Call, Request, oneshot::Receiver<Outcome>) {
        self.next += 1;
        let write = self.next;
        let key = key(&mut self.random);
        let known = self.servers[at].shared.get(&key).map_or(9, |entry| entry.revision);
        let (precondition, requires) = precondition(&mut self.random, known);
        let deletes = requires != Requires::Absent && self.random.random_bool(0.2);
        let call = call(write, &key, requires, deletes);
        let value = Value::whole(Bytes::copy_from_slice(&write.to_be_bytes()));
        let write = if deletes { Write::Delete(value) } else { Write::Put(value) };
        let (answer, outcome) = oneshot::channel();
        (call, Request { key, precondition, write, attributes: Attributes::default(), answer }, outcome)
    }
}
