use super::*;
use crate::app::Interactive;
use crate::config::Config;
use crate::out::tests::Buffer;
use crate::out::{Out, Stderr};
use crate::render::table::Style;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_lost_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("demo");
    let buffer = Buffer::default();
    let mut app = App {
        out: Out::new(buffer.clone()),
        err: Stderr::default(),
        style: Style::default(),
        json: false,
        quiet: false,
        interactive: Interactive::default(),
        cx: OpContext::new(),
        config: Config::default(),
        env: milepost::system::env().unwrap(),
        opened: Some(milepost::open_admin("memory:", milepost::Settings::default()).unwrap()),
    };
    assert_eq!(run(&app, &dir).await.unwrap(), 0);
    let out = buffer.take();
    for part in
        ["3 partitions on 2 nodes", "3/100/2", "COMPLETED", "every hash is that of the lost data", "milepost list"]
    {
        assert!(out.contains(part), "{part} in {out}");
    }
    assert!(dir.join("broker/node-2/partition-1/snapshots/MANIFEST").exists());

    // Again, in the same folder and store: a later checkpoint, as JSON lines.
    app.json = true;
    assert_eq!(run(&app, &dir).await.unwrap(), 0);
    let out = buffer.take();
    let lines: Vec<serde_json::Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = lines.last().unwrap();
    assert_eq!((&last["messageType"], &last["checkpoint"]), (&"summary".into(), &"101".into()));
}
