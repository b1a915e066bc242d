//! The faults do what they say, no more and no less.

use std::time::Duration;

use milepost_testkit::fake_s3::{FakeS3, Fault, On, Operation, Quirks, Wait};
use milepost_testkit::faulty::Gate;

use crate::client::Client;

fn put(client: &Client, key: &str, body: &str) -> std::io::Result<u16> {
    let reply = client.send("PUT", &format!("/milepost/{key}"), &[("if-none-match", "*")], body.as_bytes());
    reply.map(|reply| reply.status)
}

#[test]
fn answers_have_no_effect() {
    let fake = FakeS3::start().unwrap();
    let client = Client::new(&fake);
    let slow = Fault::Answer { status: 503, code: "SlowDown".to_owned(), retry_after: Some(7) };
    fake.inject(On::operation(Operation::PutObject).key_ending("status.json").times(2), slow);
    fake.inject(On::operation(Operation::CompleteMultipartUpload), Fault::ErrorIn200("InternalError".to_owned()));
    fake.inject(On::operation(Operation::HeadObject), Fault::answer(403, "AccessDenied"));
    for _ in 0..2 {
        let reply = client.send("PUT", "/milepost/1/2/3/status.json", &[], b"x").unwrap();
        assert_eq!((reply.status, reply.one("Code").as_str()), (503, "SlowDown"));
        assert_eq!(reply.header("retry-after"), Some("7"));
        assert_eq!(reply.header("x-amz-request-id"), Some(reply.one("RequestId").as_str()));
    }
    let inside = client.send("POST", "/milepost/a?uploadId=1", &[], b"<CompleteMultipartUpload/>").unwrap();
    assert_eq!((inside.status, inside.one("Code").as_str()), (200, "InternalError"));
    let head = client.send("HEAD", "/milepost/a", &[], b"").unwrap();
    assert_eq!((head.status, head.body.len()), (403, 0));
    assert!(fake.bucket().keys().is_empty());
    assert_eq!(put(&client, "1/2/3/status.json", "x").unwrap(), 200);
    assert_eq!(fake.bucket().keys(), ["1/2/3/status.json"]);
    let log = fake.log();
    assert_eq!((log.faults().count(), log.of(Operation::PutObject).count()), (4, 3), "{log}");
}

#[test]
fn a_lost_request_has_no_effect_and_a_lost_reply_has() {
    let fake = FakeS3::start().unwrap();
    let client = Client::new(&fake);
    fake.inject(On::operation(Operation::PutObject).key_ending("request"), Fault::LoseRequest);
    fake.inject(On::operation(Operation::PutObject).key_ending("reply"), Fault::LoseReply);
    // The client cannot tell the one from the other.
    let (request, reply) = (put(&client, "request", "x").unwrap_err(), put(&client, "reply", "x").unwrap_err());
    assert_eq!(request.kind(), reply.kind());
    assert_eq!(fake.bucket().keys(), ["reply"]);
    assert_eq!(put(&client, "request", "x").unwrap(), 200);
    assert_eq!(put(&client, "reply", "x").unwrap(), 412);
    let statuses: Vec<_> = fake.log().of(Operation::PutObject).map(|request| request.status).collect();
    assert_eq!(statuses, [None, None, Some(200), Some(412)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zombies_come_when_they_are_let() {
    let fake = FakeS3::start().unwrap();
    let client = Client::new(&fake);
    let (late, again) = (Gate::new(), Gate::new());
    fake.inject(On::operation(Operation::PutObject).key_ending("late"), Fault::Late(late.clone().into()));
    fake.inject(On::operation(Operation::PutObject).key_ending("again"), Fault::Repeat(again.clone().into()));
    fake.inject(On::operation(Operation::DeleteObject), Fault::Repeat(Duration::from_millis(1).into()));
    assert!(put(&client, "late", "x").is_err());
    assert_eq!(put(&client, "again", "first").unwrap(), 200);
    assert_eq!(fake.bucket().keys(), ["again"]);
    late.reached().await;
    again.reached().await;
    fake.bucket().remove_raw("again");
    fake.bucket().put_raw("late", "of another");
    late.open();
    again.open();
    fake.settled().await;
    assert_eq!(fake.bucket().bytes("again").as_deref(), Some(&b"first"[..]));
    assert_eq!(fake.bucket().bytes("late").as_deref(), Some(&b"of another"[..]));
    client.send("DELETE", "/milepost/again", &[], b"").unwrap();
    fake.settled().await;
    let log = fake.log();
    let puts: Vec<_> = log.of(Operation::PutObject).map(|request| (request.status, request.late)).collect();
    assert_eq!(puts, [(None, Some(412)), (Some(200), Some(200))], "{log}");
    assert_eq!(log.of(Operation::DeleteObject).next().unwrap().late, Some(204));
    assert_eq!((fake.count(Operation::PutObject), fake.count(Operation::DeleteObject)), (2, 1));
}

#[test]
fn bodies_are_cut_stalled_and_bent() {
    let fake = FakeS3::start().unwrap();
    let client = Client::new(&fake);
    let body: Vec<u8> = (0..300_000u32).map(|n| n as u8).collect();
    fake.bucket().put_raw("a", body.clone());
    for at in [0, 1, 70_000, 299_999] {
        fake.inject(On::operation(Operation::GetObject), Fault::CutBody(at));
        let reply = client.send("GET", "/milepost/a", &[], b"").unwrap();
        assert!(reply.cut, "{at}");
        assert_eq!((reply.status, reply.body.len() as u64), (200, at));
        assert_eq!(reply.header("content-length"), Some("300000"));
        assert_eq!(reply.body, body[..at as usize]);
        fake.clear_faults();
    }
    fake.inject(On::operation(Operation::GetObject), Fault::CutBody(300_000));
    let whole = client.send("GET", "/milepost/a", &[], b"").unwrap();
    assert_eq!((whole.cut, whole.body == body), (false, true));
    fake.clear_faults();
    fake.inject(On::operation(Operation::GetObject), Fault::FlipByte(100_000));
    let bent = client.send("GET", "/milepost/a", &[], b"").unwrap();
    let differ: Vec<usize> = (0..body.len()).filter(|at| bent.body[*at] != body[*at]).collect();
    assert_eq!((bent.cut, differ), (false, vec![100_000]));
    fake.clear_faults();

    fake.inject(On::operation(Operation::GetObject), Fault::StallBody(5));
    let stalled = std::thread::scope(|scope| {
        let reader = scope.spawn(|| client.send("GET", "/milepost/a", &[], b""));
        while fake.log().requests.last().unwrap().status.is_none() || fake.count(Operation::GetObject) < 7 {
            std::thread::yield_now();
        }
        assert!(!reader.is_finished());
        // Only the end of the server ends it.
        fake.down();
        reader.join().unwrap().unwrap()
    });
    assert_eq!((stalled.cut, stalled.body.len()), (true, 5));
}

#[test]
fn kept_keys_fail_alone() {
    let fake = FakeS3::start().unwrap();
    let client = Client::new(&fake);
    for key in ["1/a", "1/keep", "2/b"] {
        fake.bucket().put_raw(key, "x");
    }
    let keep = Fault::KeepKeys { containing: "keep".to_owned(), code: "AccessDenied".to_owned() };
    fake.inject(On::any().key_containing("").always(), keep);
    let objects: String = fake.bucket().keys().iter().map(|key| format!("<Object><Key>{key}</Key></Object>")).collect();
    let reply = client.send("POST", "/milepost?delete", &[], format!("<Delete>{objects}</Delete>").as_bytes()).unwrap();
    assert_eq!(reply.status, 200);
    assert_eq!((reply.all("Error").len(), reply.one("Code").as_str()), (1, "AccessDenied"), "{}", reply.text());
    assert_eq!(reply.all("Deleted").len(), 2);
    assert_eq!(fake.bucket().keys(), ["1/keep"]);
    assert_eq!(client.send("DELETE", "/milepost/1/keep", &[], b"").unwrap().status, 403);
    assert_eq!(fake.bucket().keys(), ["1/keep"]);
}

#[test]
fn a_server_that_ignores_conditions_overwrites() {
    let fake = FakeS3::start().unwrap();
    let client = Client::new(&fake);
    fake.bucket().put_raw("a", "old");
    assert_eq!(put(&client, "a", "new").unwrap(), 412);
    fake.set_quirks(Quirks::ignoring_conditions());
    assert_eq!(put(&client, "a", "new").unwrap(), 200);
    assert_eq!(fake.bucket().bytes("a").as_deref(), Some(&b"new"[..]));
    let replace = |key: &str| client.send("PUT", &format!("/milepost/{key}"), &[("if-match", "\"x\"")], b"y").unwrap();
    assert_eq!((replace("a").status, replace("absent").status), (200, 200));
    let begun = client.send("POST", "/milepost/a?uploads", &[], b"").unwrap();
    let target = format!("uploadId={}", begun.one("UploadId"));
    let part = client.send("PUT", &format!("/milepost/a?partNumber=1&{target}"), &[], b"whole").unwrap();
    let body = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{}</ETag></Part></CompleteMultipartUpload>",
        part.header("etag").unwrap()
    );
    let done =
        client.send("POST", &format!("/milepost/a?{target}"), &[("if-none-match", "*")], body.as_bytes()).unwrap();
    assert_eq!(done.status, 200, "{}", done.text());
    assert_eq!(fake.bucket().bytes("a").as_deref(), Some(&b"whole"[..]));
    fake.set_quirks(Quirks { absent_is_412: true, ..Quirks::default() });
    assert_eq!(replace("never").status, 412);
}

#[test]
fn more_requests_than_it_takes_are_throttled() {
    let fake = FakeS3::start().unwrap();
    let client = Client::new(&fake);
    let gate = Gate::new();
    fake.inject(On::operation(Operation::PutObject).key_ending("held").always(), Fault::Wait(gate.clone().into()));
    std::thread::scope(|scope| {
        let held: Vec<_> =
            ["1/held", "2/held"].map(|key| scope.spawn(|| put(&Client::new(&fake), key, "x").unwrap())).into();
        while fake.count(Operation::PutObject) < 2 {
            std::thread::yield_now();
        }
        fake.set_quirks(Quirks { max_concurrent: Some(2), ..Quirks::default() });
        let throttled = client.send("PUT", "/milepost/a", &[], b"x").unwrap();
        assert_eq!((throttled.status, throttled.one("Code").as_str()), (503, "SlowDown"));
        assert!(fake.bucket().keys().is_empty());
        gate.open();
        for held in held {
            assert_eq!(held.join().unwrap(), 200);
        }
    });
    assert_eq!(fake.most_concurrent(), 3);
    assert_eq!(put(&client, "a", "x").unwrap(), 200);
    fake.reset();
    assert_eq!((fake.count(Operation::PutObject), fake.log().requests.len(), fake.most_concurrent()), (0, 0, 0));
}

#[test]
fn scripts_count_what_they_describe() {
    let fake = FakeS3::start().unwrap();
    let client = Client::new(&fake);
    fake.inject(
        On::operation(Operation::GetObject).key_containing("/2/").nth(2).times(2),
        Fault::answer(500, "InternalError"),
    );
    fake.inject(On::operation(Operation::GetObject).key_ending("z").always(), Fault::Wait(Wait::For(Duration::ZERO)));
    let get = |key: &str| client.send("GET", &format!("/milepost/{key}"), &[], b"").unwrap().status;
    let statuses = ["1/2/a", "1/3/a", "1/2/b", "1/2/z", "1/2/a"].map(get);
    assert_eq!(statuses, [404, 404, 500, 500, 404]);
    fake.clear_faults();
    assert_eq!(get("1/2/z"), 404);
}

#[test]
fn a_server_goes_down_and_comes_up_with_its_content() {
    let fake = FakeS3::start().unwrap();
    let client = Client::new(&fake);
    let gate = Gate::new();
    fake.inject(On::operation(Operation::PutObject).key_ending("held"), Fault::Wait(gate.into()));
    assert_eq!(put(&client, "a", "x").unwrap(), 200);
    std::thread::scope(|scope| {
        let held = scope.spawn(|| put(&client, "held", "x"));
        while fake.count(Operation::PutObject) < 2 {
            std::thread::yield_now();
        }
        fake.down();
        assert!(held.join().unwrap().is_err());
    });
    fake.down();
    assert!(std::net::TcpStream::connect(fake.address()).is_err());
    fake.up().unwrap();
    fake.up().unwrap();
    assert_eq!(client.send("GET", "/milepost/a", &[], b"").unwrap().body, b"x");
    assert_eq!(fake.bucket().keys(), ["a"]);
    let (bucket, address) = (fake.bucket().clone(), fake.address());
    drop(fake);
    assert!(std::net::TcpStream::connect(address).is_err());
    assert_eq!(bucket.keys(), ["a"]);
}

#[test]
fn objects_can_be_made_old() {
    let fake = FakeS3::start().unwrap();
    let client = Client::new(&fake);
    fake.bucket().put_raw("a", "x");
    let written = || client.send("HEAD", "/milepost/a", &[], b"").unwrap().header("last-modified").unwrap().to_owned();
    assert!(!written().contains(" 1970 "));
    fake.set_quirks(Quirks { older_by: Duration::MAX, ..Quirks::default() });
    assert_eq!(written(), "Thu, 01 Jan 1970 00:00:00 GMT");
}
