//! The project's own tasks, run as `cargo xtask <task>`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use anyhow::{Result, bail};

mod host;
mod libclang;
mod rocksdb;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<()> {
    match arguments.first().map(String::as_str) {
        Some("rocksdb" | "env") => {
            for (name, value) in rocksdb::provide()? {
                println!("export {name}='{value}'");
            }
            Ok(())
        }
        _ => bail!("usage"),
    }
}
