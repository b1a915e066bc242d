//! cluster.json: three racers, each create may be lost or delayed; all must end with the id that is in the bucket.

/// Runs it with and without the rule that the loser takes the winner's id. Gives, for each, the states, whether two ids were
/// ever in use, and whether a node of the same cluster was refused.
pub(crate) fn cluster() -> [(usize, bool, bool); 2] {
    use std::collections::{HashSet, VecDeque};
    // state: bucket id, per racer (phase 0 create, 1 read back, 2 done; adopted id), zombies, faults
    type S = (u8, [(u8, u8); 3], Vec<u8>, u8);
    [false, true].map(|adopt| {
        let mut seen: HashSet<S> = HashSet::new();
        let mut q: VecDeque<S> = VecDeque::new();
        let s0: S = (0, [(0, 0); 3], vec![], 3);
        seen.insert(s0.clone());
        q.push_back(s0);
        let (mut split, mut refused) = (false, false);
        while let Some(s) = q.pop_front() {
            let ids: HashSet<u8> = s.1.iter().filter(|r| r.0 == 2).map(|r| r.1).collect();
            split |= ids.iter().any(|i| *i != s.0);
            refused |= s.1.iter().any(|r| r.0 == 3);
            let mut push = |n: S| {
                if seen.insert(n.clone()) {
                    q.push_back(n)
                }
            };
            for i in 0..3 {
                let me = i as u8 + 1;
                match s.1[i].0 {
                    0 => {
                        let mut n = s.clone();
                        if n.0 == 0 {
                            n.0 = me;
                            n.1[i] = (2, me);
                        } else {
                            n.1[i] = (1, 0);
                        }
                        push(n);
                        if s.3 > 0 {
                            let mut n = s.clone();
                            n.3 -= 1;
                            n.1[i] = (1, 0);
                            n.2.push(me);
                            n.2.sort();
                            push(n);
                            let mut n = s.clone();
                            n.3 -= 1;
                            n.1[i] = (1, 0);
                            if n.0 == 0 {
                                n.0 = me;
                            }
                            push(n);
                        }
                    }
                    1 => {
                        let mut n = s.clone();
                        n.1[i] = match (n.0, adopt) {
                            (0, _) => (0, 0),
                            (x, true) => (2, x),
                            (x, false) if x == me => (2, x),
                            _ => (3, 0), // "another cluster id": refused
                        };
                        push(n);
                    }
                    _ => {}
                }
            }
            for k in 0..s.2.len() {
                let mut n = s.clone();
                let z = n.2.remove(k);
                if n.0 == 0 {
                    n.0 = z;
                }
                push(n);
            }
        }
        println!(
            "\n== cluster.json raced by three, loser {}: {} states, two ids in use: {split}, a node of the same cluster refused: {refused}",
            if adopt { "takes the winner's id" } else { "compares with its own new id" },
            seen.len()
        );
        (seen.len(), split, refused)
    })
}
