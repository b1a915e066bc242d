use std::sync::atomic::{AtomicUsize, Ordering as Order};
use std::sync::mpsc;
use std::time::Duration;

use super::*;

const LIMIT: Duration = Duration::from_secs(60);

fn lanes(most: usize, threads: Threads) -> Lanes {
    Lanes::new("test-files", most, Priority::Normal, threads)
}

#[tokio::test(flavor = "multi_thread")]
async fn work_runs_on_a_few_threads_and_gives_its_outcome() {
    for threads in [Threads::Own, Threads::Runtime] {
        let lanes = lanes(2, threads);
        let (at_once, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let work = (0..200).map(|n| {
            let (at_once, most) = (Arc::clone(&at_once), Arc::clone(&most));
            lanes.run(move || {
                most.fetch_max(at_once.fetch_add(1, Order::SeqCst) + 1, Order::SeqCst);
                std::thread::yield_now();
                at_once.fetch_sub(1, Order::SeqCst);
                if n % 7 == 0 { Err(io::Error::other("seven")) } else { Ok(n) }
            })
        });
        let outcomes = futures::future::join_all(work).await;
        for (n, outcome) in outcomes.into_iter().enumerate() {
            match outcome {
                Ok(value) => assert_eq!(value, n),
                Err(error) => assert!(n % 7 == 0 && error.to_string() == "seven"),
            }
        }
        assert!((1..=2).contains(&most.load(Order::SeqCst)));
    }
}

#[tokio::test]
async fn a_thread_of_its_own_has_the_name() {
    let name = lanes(1, Threads::Own).run(|| Ok(std::thread::current().name().map(str::to_owned))).await.unwrap();
    assert_eq!(name.as_deref(), Some("test-files"));
}

#[tokio::test]
async fn a_panic_takes_the_work_and_not_the_thread() {
    for threads in [Threads::Own, Threads::Runtime] {
        let lanes = lanes(1, threads);
        let error = lanes.run::<()>(|| panic!("a source's defect")).await.unwrap_err();
        assert!(error.to_string().contains("was lost"), "{error}");
        assert_eq!(lanes.run(|| Ok(1)).await.unwrap(), 1);
    }
}

/// Every thread hangs in a call that nobody waits for any more: others take their places, and the end waits for none.
#[tokio::test(flavor = "multi_thread")]
async fn who_stops_waiting_is_not_kept_and_takes_no_place() {
    for threads in [Threads::Own, Threads::Runtime] {
        let lanes = lanes(2, threads);
        let mut releases = Vec::new();
        for _ in 0..5 {
            let (begun, has_begun) = mpsc::channel();
            let (release, released) = mpsc::channel::<()>();
            let hangs = lanes.run(move || {
                begun.send(()).unwrap();
                // Ends when the test ends, however that is.
                let _ = released.recv_timeout(LIMIT);
                Ok(())
            });
            let given_up = tokio::time::timeout(LIMIT, async {
                tokio::select! {
                    biased;
                    _ = hangs => false,
                    () = async { tokio::task::block_in_place(|| has_begun.recv_timeout(LIMIT).unwrap()) } => true,
                }
            });
            assert!(given_up.await.unwrap());
            releases.push(release);
            assert_eq!(tokio::time::timeout(LIMIT, lanes.run(|| Ok(7))).await.unwrap().unwrap(), 7);
        }
        assert_eq!(lanes.counts().1, 5);
        drop(releases);
        // Each comes back in time, and no more stay than there are places.
        for _ in 0..6000 {
            if lanes.counts().1 == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let (workers, lost) = lanes.counts();
        assert!(workers <= 2 && lost == 0, "{workers} {lost}");
    }
}

#[tokio::test]
async fn work_that_nobody_waits_for_is_not_begun() {
    let lanes = lanes(1, Threads::Own);
    let (release, released) = mpsc::channel::<()>();
    let first = lanes.run(move || {
        let _ = released.recv_timeout(LIMIT);
        Ok(())
    });
    let ran = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&ran);
    let second = lanes.run(move || {
        counted.fetch_add(1, Order::SeqCst);
        Ok(())
    });
    let mut first = Box::pin(first);
    assert!(futures::poll!(&mut first).is_pending());
    {
        let mut second = Box::pin(second);
        assert!(futures::poll!(&mut second).is_pending());
    }
    drop(release);
    first.await.unwrap();
    lanes.run(|| Ok(())).await.unwrap();
    assert_eq!(ran.load(Order::SeqCst), 0);
}

#[tokio::test]
async fn threads_end_with_their_owner() {
    let lanes = lanes(3, Threads::Own);
    futures::future::join_all((0..30).map(|_| lanes.run(|| Ok(())))).await;
    let shared = Arc::downgrade(&lanes.shared);
    drop(lanes);
    for _ in 0..6000 {
        if shared.upgrade().is_none() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("a thread did not end");
}

#[tokio::test]
async fn a_low_priority_is_the_threads_alone() {
    let nice = || rustix::process::getpriority_process(Some(rustix::thread::gettid())).map_err(io::Error::from);
    let before = nice().unwrap();
    let low = Lanes::new("test-low", 1, Priority::Low, Threads::Own);
    assert_eq!(low.run(nice).await.unwrap(), 19);
    assert_eq!(nice().unwrap(), before);
}
