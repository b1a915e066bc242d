//! A restore killed before each of its effects, in both shapes, and what the next run makes of it.

use super::tests::{FILES, Fixture, binding, other_binding};
use super::*;
use crate::fs::crash;

/// Lets a restore die at its `at`-th point. False: it ended before.
fn killed(fixture: &Fixture, at: u32) -> bool {
    crash::arm(at);
    let result = fixture.restore(&binding(), &FILES);
    let killed = crash::disarm();
    assert!(killed || result.is_ok(), "{result:?}");
    killed
}

/// Whatever is there after a kill: a target with the marker holds everything, one without is never called restored.
fn judge(fixture: &Fixture, existing: bool) -> TargetState {
    let state = inspect(&fixture.target).unwrap();
    match &state {
        TargetState::Restored(_) => {
            settle(&fixture.target).unwrap();
            fixture.check(&binding(), &FILES);
        }
        TargetState::Absent | TargetState::Empty | TargetState::Unfinished(_) => {
            // The folder appears by the last rename, or was there.
            assert_eq!(fixture.target.exists(), existing);
        }
    }
    state
}

#[test]
fn a_kill_at_any_point_is_mended_by_the_next_run() {
    for existing in [false, true] {
        let mut states = [0; 4];
        for at in 1.. {
            let fixture = Fixture::new(existing);
            if !killed(&fixture, at) {
                assert!(at > 40, "only {at} points");
                break;
            }
            states[match judge(&fixture, existing) {
                TargetState::Absent | TargetState::Empty => 0,
                TargetState::Unfinished(None) => 1,
                TargetState::Unfinished(Some(_)) => 2,
                TargetState::Restored(_) => 3,
            }] += 1;
            fixture.restore(&binding(), &FILES).unwrap();
            fixture.check(&binding(), &FILES);
        }
        assert!(states.iter().all(|count| *count > 0), "{existing} {states:?}");
    }
}

#[test]
fn a_second_kill_is_mended_as_well() {
    for existing in [false, true] {
        // Steps that share no factor visit other pairs than the diagonal.
        for first in (1..).step_by(3) {
            let fixture = Fixture::new(existing);
            if !killed(&fixture, first) {
                break;
            }
            for second in (1..).step_by(7) {
                if !killed(&fixture, second) {
                    break;
                }
                judge(&fixture, existing);
            }
            fixture.restore(&binding(), &FILES).unwrap();
            fixture.check(&binding(), &FILES);
        }
    }
}

#[test]
fn sets_in_the_target_stay_ours_through_every_further_kill() {
    let mut seen = 0;
    'first: for first in 1.. {
        for second in 1.. {
            let fixture = Fixture::new(true);
            if !killed(&fixture, first) {
                break 'first;
            }
            let unmarked = !matches!(inspect(&fixture.target).unwrap(), TargetState::Restored(_));
            if !unmarked || !fixture.target.join("snapshots").exists() {
                break;
            }
            let again = killed(&fixture, second);
            judge(&fixture, true);
            fixture.restore(&binding(), &FILES).unwrap();
            fixture.check(&binding(), &FILES);
            if !again {
                seen += 1;
                break;
            }
        }
    }
    assert!(seen >= 3, "{seen}");
}

#[test]
fn another_backup_after_a_kill_starts_afresh_or_is_refused_but_never_mixes() {
    for existing in [false, true] {
        let (mut afresh, mut refused) = (0, 0);
        for at in 1.. {
            let fixture = Fixture::new(existing);
            if !killed(&fixture, at) {
                break;
            }
            match fixture.restore(&other_binding(), &FILES[1..]) {
                Ok(fetched) => {
                    assert_eq!(fetched, 4, "a file of another backup was taken over");
                    fixture.check(&other_binding(), &FILES[1..]);
                    afresh += 1;
                }
                Err(error) => {
                    assert_eq!(error.kind().name(), "target_not_empty", "{error:?}");
                    fixture.restore(&binding(), &FILES).unwrap();
                    fixture.check(&binding(), &FILES);
                    refused += 1;
                }
            }
        }
        assert!(afresh > 30 && refused > 0, "{existing} {afresh} {refused}");
    }
}
