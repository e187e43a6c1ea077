//! Provides strace, which the tests of crashes and faults strike their child processes with.
//!
//! The order is: what is installed, the Debian package (as root). Without it those tests say
//! `SKIPPED`, or fail where everything is required.

use anyhow::{Result, bail};

use crate::host;
use crate::steps::Verdict;

/// Makes sure that there is an strace, where that can be done.
pub(crate) fn provide() -> Result<Verdict> {
    if cfg!(not(target_os = "linux")) {
        return Ok(Verdict::Noted("strace is for Linux".to_owned()));
    }
    if host::has_program("strace") {
        return Ok(Verdict::Passed);
    }
    if let Err(error) = host::apt_install("strace") {
        return Ok(Verdict::Skipped(format!(
            "strace cannot be provided: {error:#}"
        )));
    }
    if !host::has_program("strace") {
        bail!("the package strace brought no program of that name");
    }
    Ok(Verdict::Passed)
}
