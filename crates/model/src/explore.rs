//! Every state that can be reached, breadth first: the first violation found has the shortest trace.
//!
//! Of a visited state only a fingerprint of 64 bits and that of its parent are kept; a trace is found again by walking the
//! model along the fingerprints. Of 66 million states two share a fingerprint with a chance of one in 8,000.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// What can be explored: first states, and what may happen next.
pub(crate) trait Machine {
    type State: Clone + Hash;
    type Act: Copy;

    fn init_states(&self) -> Vec<Self::State>;
    fn actions(&self, state: &Self::State, out: &mut Vec<Self::Act>);
    /// `None`: nothing changes.
    fn next_state(&self, state: &Self::State, act: Self::Act) -> Option<Self::State>;
    fn properties(&self) -> Vec<Property<Self>>;
}

/// Something that must always hold, or that must happen at least once (`live`).
pub(crate) struct Property<M: Machine + ?Sized> {
    pub(crate) name: &'static str,
    pub(crate) live: bool,
    pub(crate) holds: fn(&M, &M::State) -> bool,
}

impl<M: Machine> Property<M> {
    pub(crate) fn always(name: &'static str, holds: fn(&M, &M::State) -> bool) -> Self {
        Self { name, live: false, holds }
    }

    pub(crate) fn sometimes(name: &'static str, holds: fn(&M, &M::State) -> bool) -> Self {
        Self { name, live: true, holds }
    }
}

/// Folds each word into the state by a multiplication of 128 bits: quick, and the same in every run.
#[derive(Default)]
struct Fingerprint(u64);

impl Fingerprint {
    fn of(state: &impl Hash) -> u64 {
        let mut hasher = Self(0x243f_6a88_85a3_08d3);
        state.hash(&mut hasher);
        hasher.finish()
    }

    fn fold(&mut self, word: u64) {
        let product =
            u128::from(self.0 ^ word ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xd6e8_feb8_6659_fd93_a076_1d64_78bd_642f);
        self.0 = (product >> 64) as u64 ^ (product as u64).rotate_left(23);
    }
}

impl Hasher for Fingerprint {
    fn finish(&self) -> u64 {
        let mut last = Self(self.0);
        last.fold(0x1337);
        last.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.fold(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, byte: u8) {
        self.fold(u64::from(byte));
    }

    fn write_usize(&mut self, word: usize) {
        self.fold(word as u64);
    }

    fn write_isize(&mut self, word: isize) {
        self.fold(word as u64);
    }
}

/// A fingerprint needs no second hash.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("fingerprints are words")
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = word;
    }
}

/// A path: each state, and what was done next.
pub(crate) type Path<M> = Vec<(<M as Machine>::State, Option<<M as Machine>::Act>)>;

/// What came of looking at every state.
pub(crate) struct Explored<M: Machine> {
    pub(crate) states: usize,
    pub(crate) depth: usize,
    /// Was every state that can be reached looked at?
    pub(crate) complete: bool,
    /// What must always hold and did not, with the shortest path there.
    pub(crate) violated: Vec<(&'static str, Path<M>)>,
    /// What must happen and never did. Says something only where the exploration is complete.
    pub(crate) never: Vec<&'static str>,
}

/// Looks at up to `limit` states; `first` ends with the first violation.
pub(crate) fn explore<M: Machine>(scenario: &M, limit: usize, first: bool) -> Explored<M> {
    let properties = scenario.properties();
    let mut open: Vec<bool> = vec![true; properties.len()];
    // Fingerprint → that of the parent; of a first state: its own.
    let mut seen: HashMap<u64, u64, BuildHasherDefault<AsItIs>> = HashMap::default();
    let mut level: Vec<(u64, M::State)> = Vec::new();
    let mut found: Vec<(&'static str, u64)> = Vec::new();
    let mut judge = |state: &M::State, mark: u64| {
        for (property, open) in properties.iter().zip(&mut open) {
            if *open && (property.holds)(scenario, state) == property.live {
                *open = false;
                if !property.live {
                    found.push((property.name, mark));
                }
            }
        }
        first && !found.is_empty()
    };
    let mut enough = false;
    for state in scenario.init_states() {
        let mark = Fingerprint::of(&state);
        if seen.insert(mark, mark).is_none() {
            enough |= judge(&state, mark);
            level.push((mark, state));
        }
    }
    let (mut depth, mut complete, mut actions) = (0, true, Vec::new());
    'levels: while !level.is_empty() && !enough {
        depth += 1;
        let mut next = Vec::new();
        for (mark, state) in level.drain(..) {
            actions.clear();
            scenario.actions(&state, &mut actions);
            for act in actions.drain(..) {
                let Some(then) = scenario.next_state(&state, act) else { continue };
                let child = Fingerprint::of(&then);
                if seen.contains_key(&child) {
                    continue;
                }
                seen.insert(child, mark);
                enough |= judge(&then, child);
                next.push((child, then));
                if enough || seen.len() >= limit {
                    complete = false;
                    break 'levels;
                }
            }
        }
        level = next;
    }
    let never =
        properties.iter().zip(&open).filter(|(property, open)| property.live && **open).map(|(p, _)| p.name).collect();
    let parents = |mark| path_marks(&seen, mark);
    let violated = found.iter().map(|(name, mark)| (*name, walk(scenario, &parents(*mark)))).collect();
    Explored { states: seen.len(), depth, complete, violated, never }
}

fn path_marks(seen: &HashMap<u64, u64, BuildHasherDefault<AsItIs>>, mut mark: u64) -> Vec<u64> {
    let mut marks = vec![mark];
    while let Some(parent) = seen.get(&mark).copied().filter(|parent| *parent != mark) {
        mark = parent;
        marks.push(mark);
    }
    marks.reverse();
    marks
}

fn walk<M: Machine>(scenario: &M, marks: &[u64]) -> Path<M> {
    let mut path = Vec::new();
    let Some(mut state) =
        scenario.init_states().into_iter().find(|state| Some(&Fingerprint::of(state)) == marks.first())
    else {
        return path;
    };
    for mark in &marks[1..] {
        let mut actions = Vec::new();
        scenario.actions(&state, &mut actions);
        let step = actions.into_iter().find_map(|act| {
            scenario.next_state(&state, act).filter(|then| Fingerprint::of(then) == *mark).map(|then| (act, then))
        });
        let Some((act, then)) = step else { break };
        path.push((std::mem::replace(&mut state, then), Some(act)));
    }
    path.push((state, None));
    path
}
