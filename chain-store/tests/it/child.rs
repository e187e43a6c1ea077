//! What the parent of a verification makes of a child that misbehaves. The child is this very test
//! binary, which a variable turns into one.

use std::io::Write;
use std::process::{Command, Stdio};

use chain_store::verify;

const PLAY: &str = "CHAINSTORE_TEST_CHILD_PLAYS";

/// A whole report of a sound store.
const SOUND: &[u8] =
    b"{\"event\":\"report\",\"tables\":[{\"table\":\"t\",\"rows\":1,\"bytes\":2}],\
    \"findings\":[],\"engine_check\":null}\n";

/// Not a test of its own: the body of the child, which the tests below start.
#[test]
fn child_process() {
    let Ok(play) = std::env::var(PLAY) else {
        return;
    };
    let mut out = std::io::stdout();
    if play == "chatter" {
        out.write_all(b"\nkey \xff\xfe is odd\n").unwrap();
    }
    out.write_all(SOUND).unwrap();
    out.flush().unwrap();
    if play == "abort" {
        std::process::abort();
    }
}

fn child(play: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "child::child_process", "--nocapture"])
        .env(PLAY, play)
        .stderr(Stdio::null());
    command
}

#[test]
fn chatter_that_is_no_text_is_passed_over() {
    let report = verify::in_child(&mut child("chatter"), &mut |_| {}).unwrap();
    assert!(report.is_sound() && report.tables.len() == 1, "{report:?}");
}

#[test]
fn a_child_that_is_killed_after_its_report_is_a_finding() {
    let report = verify::in_child(&mut child("abort"), &mut |_| {}).unwrap();
    assert_eq!(report.tables.len(), 1);
    assert!(report.findings[0].what.contains("died"), "{report:?}");
}
