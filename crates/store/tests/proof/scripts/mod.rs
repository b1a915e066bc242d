//! Scripts of calls by several nodes, with faults, deaths and restarts in between, against a plain map: drawn by proptest,
//! which cuts a script that goes wrong down to the few lines that matter.

mod cluster;
mod model;

use std::fmt;

use milepost_testkit::faulty::Point;
use milepost_testkit::fixtures::long;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use cluster::{Cluster, ids};
use model::{Variant, Verb};

/// One node asks for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Call {
    node: u8,
    verb: Verb,
    id: usize,
}

/// What happens to a call at its n-th request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    None,
    /// The request never arrives.
    Fails(u64),
    /// It has its effect, and the reply is lost.
    Unanswered(u64),
    /// It arrives a second time, 20 seconds later.
    Twice(u64),
    /// It has its effect three seconds after the caller was told that nothing came back.
    Late(u64),
    Cancelled(u64),
    /// The process dies; the next call of this node is another one's.
    Dies(u64, Point),
}

impl Trouble {
    fn at(self) -> u64 {
        match self {
            Self::None => u64::MAX,
            Self::Fails(n) | Self::Unanswered(n) | Self::Twice(n) | Self::Late(n) | Self::Cancelled(n) => n,
            Self::Dies(n, _) => n,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    One(Call, Trouble),
    /// Both at the same time.
    Two(Call, Call),
    Restart(u8),
}

/// A defect that is put into the nodes on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Planted {
    Nothing,
    DeletesWhatIsHeld,
    ForgetsTheSeal,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {} {} {}", self.node, self.verb, ids()[self.id])
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Restart(node) => write!(f, "node {node} starts again"),
            Self::Two(one, other) => write!(f, "{one} while {other}"),
            Self::One(call, trouble) => {
                write!(f, "{call}")?;
                match trouble {
                    Trouble::None => Ok(()),
                    Trouble::Fails(n) => write!(f, ", whose request {n} is lost"),
                    Trouble::Unanswered(n) => write!(f, ", whose request {n} is not answered"),
                    Trouble::Twice(n) => write!(f, ", whose request {n} arrives again later"),
                    Trouble::Late(n) => write!(f, ", whose request {n} is late"),
                    Trouble::Cancelled(n) => write!(f, ", and is cancelled at request {n}"),
                    Trouble::Dies(n, Point::Before) => write!(f, ", and dies before request {n}"),
                    Trouble::Dies(n, Point::After) => write!(f, ", and dies behind request {n}"),
                }
            }
        }
    }
}

/// The simpler first: that is what a script is cut down to.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    let verb = prop_oneof![
        4 => Just(Verb::Save(Variant::First)),
        2 => Just(Verb::Hold),
        3 => Just(Verb::Delete),
        4 => Just(Verb::Resume(Variant::First)),
        1 => Just(Verb::Release),
        2 => Just(Verb::MarkFailed),
        3 => Just(Verb::Forget),
        1 => Just(Verb::Save(Variant::Other)),
        1 => Just(Verb::Resume(Variant::Other)),
        1 => Just(Verb::Restore),
        1 => Just(Verb::Verify),
        1 => Just(Verb::Status),
        1 => Just(Verb::List),
    ];
    let id = prop_oneof![3 => Just(0usize), 2 => Just(1), 1 => Just(2)];
    let call = (0..3u8, verb, id).prop_map(|(node, verb, id)| Call { node, verb, id });
    let point = prop_oneof![Just(Point::Before), Just(Point::After)];
    let trouble = prop_oneof![
        6 => Just(Trouble::None),
        1 => (1..40u64).prop_map(Trouble::Fails),
        1 => (1..40u64).prop_map(Trouble::Unanswered),
        1 => (1..40u64).prop_map(Trouble::Twice),
        1 => (1..40u64).prop_map(Trouble::Late),
        1 => (1..40u64).prop_map(Trouble::Cancelled),
        3 => (1..40u64, point).prop_map(|(n, point)| Trouble::Dies(n, point)),
    ];
    let step = prop_oneof![
        8 => (call.clone(), trouble).prop_map(|(call, trouble)| Step::One(call, trouble)),
        2 => (call.clone(), call).prop_map(|(one, other)| Step::Two(one, other)),
        1 => (0..3u8).prop_map(Step::Restart),
    ];
    proptest::collection::vec(step, 1..14)
}

/// Acts a script out. The error says where it goes wrong.
fn acted_out(script: &[Step], planted: Planted) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut cluster = Cluster::new(planted);
        for (number, step) in (1..).zip(script) {
            cluster.act(step).await.map_err(|differs| format!("in line {number}: {differs}"))?;
        }
        cluster.at_rest().await.map_err(|differs| format!("at the end: {differs}"))
    })
}

fn lines(script: &[Step]) -> Vec<String> {
    script.iter().map(ToString::to_string).collect()
}

/// Runs scripts until one goes wrong: that one, cut down, and how.
fn run(mut runner: TestRunner, planted: Planted) -> Result<(), (Vec<String>, String)> {
    let acted = std::cell::Cell::new(0);
    let result = runner.run(&steps(), |script| {
        acted.set(acted.get() + script.len());
        acted_out(&script, planted).map_err(TestCaseError::fail)
    });
    eprintln!("{} lines of scripts acted out", acted.get());
    match result {
        Ok(()) => Ok(()),
        Err(TestError::Fail(why, script)) => Err((lines(&script), why.to_string())),
        Err(error) => Err((Vec::new(), error.to_string())),
    }
}

#[test]
fn scripts_of_several_nodes_end_as_a_plain_map_says() {
    let mut config = Config { source_file: Some(file!()), ..Config::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = if long() { 10_000 } else { 200 };
    }
    let cases = config.cases;
    if let Err((script, why)) = run(TestRunner::new(config), Planted::Nothing) {
        panic!("{why}\nthe script:\n  {}", script.join("\n  "));
    }
    eprintln!("{cases} scripts");
}

/// A script that goes wrong is cut down to the lines that it takes, and these can be read.
#[test]
fn a_planted_defect_is_found_and_its_script_is_short() {
    let found = |planted| {
        let config = Config { cases: 2_000, max_shrink_iters: 4_000, failure_persistence: None, ..Config::default() };
        let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        run(TestRunner::new_with_rng(config, rng), planted).expect_err("the defect is not seen")
    };
    // Whose bytes, and of which id, makes no difference.
    let verbs = |script: &[String]| {
        let verb = |line: &String| line.split(' ').nth(2).map(str::to_owned);
        eprintln!("{}", script.join("\n"));
        script.iter().filter_map(verb).collect::<Vec<_>>()
    };
    let (script, why) = found(Planted::DeletesWhatIsHeld);
    assert_eq!(verbs(&script), ["saves", "holds", "deletes"], "{why}");
    assert!(script[2].contains(" deletes ") && why.contains("ends well, although"), "{why}");
    assert!(why.contains("held: true"), "{why}");
    let (script, why) = found(Planted::ForgetsTheSeal);
    // A tombstone, and a later COMPLETED above it.
    assert_eq!(script.len(), 3, "{why}: {script:?}");
    assert!(script.iter().any(|line| line.contains("saves") && line.ends_with("1/101/2")), "{script:?}");
    assert!(script[2].ends_with("deletes and forgets 1/100/2"), "{why}: {script:?}");
    assert!(why.contains("1/100/2 is Absent, not one of {Sealed}"), "{why}");
}
