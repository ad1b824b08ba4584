//! From what services want and what the kernel has to the difference between the two.
//!
//! Pure: [`plan`] compares, [`Programmed::note`] remembers what was carried out. The work is proportional to what
//! changed. An endpoint keeps its number as long as it can, so that adding or removing one moves at most one other.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, SocketAddrV4},
};

use super::model::{Front, Shape, Target};

/// What services want of some fronts; `None` where a front is to go.
pub(super) type Desired = BTreeMap<Front, Option<Target>>;

/// What the kernel has of ours.
#[derive(Clone, Debug, Default)]
pub(super) struct Programmed {
    fronts: BTreeMap<Front, Target>,
    uses: Uses,
}

/// How often something is used by fronts; in a plan, by how much that changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Uses {
    shapes: BTreeMap<Shape, isize>,
    addresses: BTreeMap<Ipv4Addr, isize>,
    endpoints: BTreeMap<Ipv4Addr, isize>,
}

/// What is to change in the kernel, in one transaction: first everything is removed, then everything added. An element
/// whose value changes is in both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// What goes.
    pub(super) remove: Parts,
    /// What comes.
    pub(super) add: Parts,
    fronts: Desired,
    uses: Uses,
}

/// Elements of the kernel's maps and sets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Parts {
    /// Fronts and the shapes of their targets.
    pub(super) fronts: Vec<(Front, Shape)>,
    /// Fronts, and their backends by number.
    pub(super) backends: Vec<(Front, u32, SocketAddrV4)>,
    /// Addresses that have fronts.
    pub(super) addresses: Vec<Ipv4Addr>,
    /// Addresses of backends.
    pub(super) endpoints: Vec<Ipv4Addr>,
    /// Shapes that fronts have.
    pub(super) shapes: Vec<Shape>,
}

/// The difference between `programmed` and `desired`, which says nothing about the fronts that are not in it.
pub(super) fn plan(desired: Desired, programmed: &Programmed) -> Plan {
    let mut plan = Plan::default();
    for (front, wanted) in desired {
        let old = programmed.fronts.get(&front);
        let new = wanted.map(|target| keep_numbers(old, target));
        if old == new.as_ref() {
            continue;
        }
        plan.compare_shape(front, old, new.as_ref());
        plan.compare_backends(front, old, new.as_ref());
        plan.fronts.insert(front, new);
    }
    plan.conclude(programmed);
    plan
}

/// Orders the backends of `target` so that those already there keep their numbers where these still exist.
fn keep_numbers(old: Option<&Target>, target: Target) -> Target {
    let Target::Spread { backends, manner } = target else { return target };
    let mut homeless: BTreeSet<SocketAddrV4> = backends.iter().copied().collect();
    let count = homeless.len();
    let old = old.map(Target::backends).unwrap_or_default().iter().copied();
    let old = old.map(Some).chain(std::iter::repeat(None)).take(count);
    let kept: Vec<Option<SocketAddrV4>> =
        old.map(|backend| backend.filter(|backend| homeless.remove(backend))).collect();
    let backends = kept.into_iter().map(|backend| {
        backend.unwrap_or_else(|| homeless.pop_first().expect("as many are homeless as numbers are free"))
    });
    Target::Spread { backends: backends.collect(), manner }
}

impl Plan {
    /// The fronts that change.
    pub(super) fn changed(&self) -> BTreeSet<Front> {
        self.fronts.keys().copied().collect()
    }

    fn compare_shape(&mut self, front: Front, old: Option<&Target>, new: Option<&Target>) {
        let (old, new) = (old.map(Target::shape), new.map(Target::shape));
        *self.uses.addresses.entry(front.address).or_default() +=
            isize::from(new.is_some()) - isize::from(old.is_some());
        if old == new {
            return;
        }
        if let Some(shape) = old {
            *self.uses.shapes.entry(shape).or_default() -= 1;
            self.remove.fronts.push((front, shape));
        }
        if let Some(shape) = new {
            *self.uses.shapes.entry(shape).or_default() += 1;
            self.add.fronts.push((front, shape));
        }
    }

    fn compare_backends(&mut self, front: Front, old: Option<&Target>, new: Option<&Target>) {
        let backends_of = |target: Option<&Target>| target.map(Target::backends).unwrap_or_default().to_vec();
        let (before, after) = (backends_of(old), backends_of(new));
        for (number, (before, after)) in (0..).zip(pad(&before, &after)) {
            if before == after {
                continue;
            }
            self.remove.backends.extend(before.map(|backend| (front, number, backend)));
            self.add.backends.extend(after.map(|backend| (front, number, backend)));
        }
        let set = |list: &[SocketAddrV4]| -> BTreeSet<SocketAddrV4> { list.iter().copied().collect() };
        let (before, after) = (set(&before), set(&after));
        for gone in &before - &after {
            *self.uses.endpoints.entry(*gone.ip()).or_default() -= 1;
        }
        for come in &after - &before {
            *self.uses.endpoints.entry(*come.ip()).or_default() += 1;
        }
    }

    /// From changed counts to what begins or ceases to be used.
    fn conclude(&mut self, has: &Programmed) {
        (self.remove.addresses, self.add.addresses) = turned(&has.uses.addresses, &self.uses.addresses);
        (self.remove.endpoints, self.add.endpoints) = turned(&has.uses.endpoints, &self.uses.endpoints);
        (self.remove.shapes, self.add.shapes) = turned(&has.uses.shapes, &self.uses.shapes);
    }
}

/// Both lists side by side, the shorter one filled up.
fn pad<'a, T: Copy>(a: &'a [T], b: &'a [T]) -> impl Iterator<Item = (Option<T>, Option<T>)> + use<'a, T> {
    (0..a.len().max(b.len())).map(|index| (a.get(index).copied(), b.get(index).copied()))
}

/// What is used no more, and what is used for the first time, when `changes` are added to `counts`.
fn turned<K: Copy + Ord>(counts: &BTreeMap<K, isize>, changes: &BTreeMap<K, isize>) -> (Vec<K>, Vec<K>) {
    let (mut gone, mut come) = (Vec::new(), Vec::new());
    for (key, change) in changes {
        let before = counts.get(key).copied().unwrap_or(0);
        match (before > 0, before + change > 0) {
            (true, false) => gone.push(*key),
            (false, true) => come.push(*key),
            _ => {}
        }
    }
    (gone, come)
}

impl Programmed {
    /// Whether clients of any of the fronts stay with their endpoint.
    pub(super) fn any_sticky(&self, fronts: &BTreeSet<Front>) -> bool {
        fronts.iter().any(|front| self.fronts.get(front).is_some_and(Target::is_sticky))
    }

    /// Whether connections to `front` may be led to `backend`.
    pub(super) fn leads(&self, front: &Front, backend: &SocketAddrV4) -> bool {
        self.fronts.get(front).is_some_and(|target| target.backends().contains(backend))
    }

    /// Remembers that `plan`, made from this state, was carried out.
    pub(super) fn note(&mut self, plan: Plan) {
        for (front, target) in plan.fronts {
            match target {
                Some(target) => self.fronts.insert(front, target),
                None => self.fronts.remove(&front),
            };
        }
        count(&mut self.uses.shapes, plan.uses.shapes);
        count(&mut self.uses.addresses, plan.uses.addresses);
        count(&mut self.uses.endpoints, plan.uses.endpoints);
    }
}

fn count<K: Ord>(counts: &mut BTreeMap<K, isize>, changes: BTreeMap<K, isize>) {
    for (key, change) in changes {
        let now = counts.get(&key).copied().unwrap_or(0) + change;
        match now {
            0 => counts.remove(&key),
            now => counts.insert(key, now),
        };
    }
}

#[cfg(test)]
mod tests;
