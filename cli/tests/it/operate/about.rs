//! Completions and manual pages: of every command, from the definition itself.

use std::fs;
use std::process::Command;

use crate::support::{PROGRAM, run, run_command, snapshot};

const SHELLS: [&str; 5] = ["bash", "elvish", "fish", "powershell", "zsh"];

#[test]
fn every_shell_gets_completions_of_every_command() {
    for shell in SHELLS {
        let script = run(["completions", shell]).ok();
        for word in ["put", "from-jsonl", "migrate", "config", "jsonl"] {
            assert!(script.text().contains(word), "{shell}: {word:?} is missing");
        }
    }
    run(["completions", "tcsh"]).refused(2, &["tcsh", "bash"]);
    run(["completions"]).refused(2, &["SHELL"]);
}

#[test]
fn completions_complete() {
    let has_bash = Command::new("bash").arg("--version").output().is_ok();
    if super::is_missing("bash", has_bash) {
        return;
    }
    let script = run(["completions", "bash"]).ok();
    let ask = "\nCOMP_WORDS=(chainstore co); COMP_CWORD=1\n\
               _chainstore chainstore co chainstore\necho \"${COMPREPLY[@]}\"\n";
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("ask.bash");
    fs::write(&file, format!("{}{ask}", script.text())).unwrap();
    let mut command = Command::new("bash");
    command.arg(&file);
    let reply = run_command(command).ok();
    let words: Vec<&str> = reply.text().split_whitespace().collect();
    for word in ["compact", "copy", "config", "completions"] {
        assert!(words.contains(&word), "{word:?} is not in {words:?}");
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("share/man1");
    let listed = run(["man", "--dir", dir.to_str().unwrap()]).ok();
    let files = snapshot(&dir);
    assert_eq!(listed.text().lines().count(), files.len());
    for (path, (content, _)) in &files {
        let page = String::from_utf8(content.clone().unwrap()).unwrap();
        for section in [".SH NAME", ".SH SYNOPSIS", ".SH OPTIONS"] {
            assert!(page.contains(section), "{} lacks {section}", path.display());
        }
        let name = path.file_stem().unwrap().to_str().unwrap();
        // The one command whose own name has a hyphen.
        let name = name.replace("index-rebuild", "index_rebuild");
        let words = name.split('-').skip(1);
        let words: Vec<String> = words.map(|word| word.replace('_', "-")).collect();
        let mut command = Command::new(PROGRAM);
        command.args(&words).arg("--help");
        let help = run_command(command).ok();
        if help.text().contains("\nExamples:\n") {
            assert!(page.contains(".SH EXAMPLES\n.nf\n"), "{}", path.display());
        }
    }
    for page in [
        "chainstore.1",
        "chainstore-put.1",
        "chainstore-blocks-get.1",
    ] {
        assert!(files.contains_key(&dir.join(page)), "{page} is missing");
    }
    let main = run(["man"]).ok();
    let same = files[&dir.join("chainstore.1")].0.clone();
    assert_eq!(Some(&main.stdout), same.as_ref());
    assert!(main.text().contains(".SH \"EXIT STATUS\""), "{main}");
    // Again over the same files, and never over a file where the folder should be.
    run(["man", "--dir", dir.to_str().unwrap()]).ok();
    let file = dir.join("chainstore.1");
    run(["man", "--dir", file.to_str().unwrap()]).refused(74, &["cannot make", "chainstore.1"]);
}
