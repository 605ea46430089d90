//! What a gateway, its launcher and the one that watches left running because all of them were killed at the same
//! moment: processes that have a program's folder as their home and no launcher above them. The next gateway ends them
//! before it starts programs of its own.

use std::{
    ffi::OsStr,
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use uuid::Uuid;

use crate::{domain::clock, upstream::stdio::launcher};

/// After this long the start goes on: what SIGKILL did not end hangs in the kernel.
const LONGEST: Duration = Duration::from_secs(3);
/// How long one look waits for the ends of those that it killed.
const LOOK: Duration = Duration::from_millis(100);
/// Steps from a process to the first one that are taken; no family is that deep.
const ANCESTORS: usize = 256;

/// Kills whoever has a folder of a server's programs in `home` as its home and is looked after by nobody, until there is
/// none. How many there were.
pub(super) fn end(home: &Path) -> usize {
    let begun = clock::instant();
    let mut ended = 0;
    while begun.elapsed() < LONGEST {
        let strays: Vec<OwnedFd> = processes().filter_map(|pid| stray(pid, home)).collect();
        if strays.is_empty() {
            break;
        }
        ended += strays.iter().filter(|stray| pidfd_send_signal(stray, Signal::KILL).is_ok()).count();
        strays.iter().for_each(wait);
    }
    ended
}

fn processes() -> impl Iterator<Item = Pid> {
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    all.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
}

/// A hold on the process if it is a stray. Taken first: should the number be another one's by now, it is that one
/// which is looked at.
fn stray(pid: Pid, home: &Path) -> Option<OwnedFd> {
    let held = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    let environment = std::fs::read(file(pid, "environ")).ok()?;
    let mut variables = environment.split(|byte| *byte == 0);
    let at_home = |value: &[u8]| is_of_a_server(Path::new(OsStr::from_bytes(value)), home);
    let ours = variables.any(|variable| variable.strip_prefix(b"HOME=").is_some_and(at_home));
    (ours && !is_looked_after(pid)).then_some(held)
}

/// Whether a folder belongs to a server's programs. A folder that was chosen for them may hold more than what is this
/// gateway's: the homes of people, its own too.
fn is_of_a_server(folder: &Path, home: &Path) -> bool {
    let server = folder.strip_prefix(home).ok().and_then(|below| below.iter().next()?.to_str());
    server.is_some_and(|server| Uuid::try_parse(server).is_ok())
}

/// Whether a launcher is among the process and its ancestors. It cannot end any of them before it has ended all.
fn is_looked_after(pid: Pid) -> bool {
    let ancestors = std::iter::successors(Some(pid), |pid| parent(*pid));
    ancestors.take(ANCESTORS).any(|pid| {
        let told = std::fs::read(file(pid, "cmdline")).unwrap_or_default();
        told.split(|byte| *byte == 0).nth(1).is_some_and(launcher::is_step)
    })
}

fn parent(pid: Pid) -> Option<Pid> {
    let status = std::fs::read_to_string(file(pid, "status")).ok()?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    Pid::from_raw(parent.trim().parse().ok()?)
}

fn file(pid: Pid, name: &str) -> PathBuf {
    Path::new("/proc").join(pid.as_raw_nonzero().to_string()).join(name)
}

/// Waits for its end, briefly.
fn wait(process: &OwnedFd) {
    let limit = Timespec { tv_sec: 0, tv_nsec: LOOK.subsec_nanos().into() };
    let _seen_by_the_next_look = poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&limit));
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn programs_are_ended_and_nobody_else_who_lives_in_a_folder_that_was_chosen() {
        let chosen = tempfile::tempdir().unwrap();
        let server = Uuid::now_v7().simple().to_string();
        let homes =
            ["", "alice", "alice/children", &server, &format!("{server}/home")].map(|end| chosen.path().join(end));
        // Each waits for input that does not come, and ends with this test.
        let mut living = homes.map(|home| Command::new("cat").stdin(Stdio::piped()).env("HOME", home).spawn().unwrap());
        let ended = end(chosen.path());
        let alive: Vec<bool> = living.iter_mut().map(|one| one.try_wait().unwrap().is_none()).collect();
        for one in &mut living {
            let _already_over = one.kill();
            one.wait().unwrap();
        }
        assert_eq!((ended, alive), (2, vec![true, true, true, false, false]));
    }
}
