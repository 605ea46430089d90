//! The last step before a program runs: the process that is about to become it gives up what it does not need. It dies
//! with the one that watches it, cannot gain privileges, has limits, and (Landlock, where the kernel has it) neither
//! sees the gateway's files nor reaches other processes by signal, abstract socket or `/proc`.

use std::{
    ffi::OsString,
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use landlock::{
    ABI, Access as _, AccessFs, PathBeneath, PathFd, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetError,
    RulesetStatus, Scope,
};
use rustix::{
    process::{Resource, Rlimit, Signal, getppid, set_parent_process_death_signal, setpriority_process, setrlimit},
    thread::CapabilitySet,
};

use crate::upstream::stdio::launcher::Orders;

/// The newest rules of Landlock that are used; an older kernel is asked for what it knows of them.
const LANDLOCK: ABI = ABI::V6;

/// Becomes the program. Returns only if that fails, with the reason.
pub(super) fn become_program(orders: &Orders, command: &[OsString]) -> String {
    let Some((program, args)) = command.split_first() else { return "no command".into() };
    let bound = set_parent_process_death_signal(Some(Signal::KILL));
    if bound.is_err() || getppid().map(|pid| pid.as_raw_nonzero().get()) != Some(orders.watcher) {
        return "nobody watches it any more".into();
    }
    limit(orders);
    if let Err(cause) = rustix::thread::set_no_new_privs(true) {
        return format!("privileges cannot be given up: {cause}");
    }
    // Rights that root has beyond those of an ordinary user, reading other processes' memory among them. Whoever is not
    // root has none to give up.
    for right in CapabilitySet::all().iter() {
        let _not_root = rustix::thread::remove_capability_from_bounding_set(right);
    }
    if orders.landlock {
        match fence(&orders.hide, &orders.open) {
            Ok(RulesetStatus::NotEnforced) => {
                say("this kernel has no Landlock: the gateway's files are not kept from it")
            }
            Ok(RulesetStatus::PartiallyEnforced | RulesetStatus::FullyEnforced) => {}
            Err(cause) => return format!("Landlock failed: {cause}"),
        }
    }
    let mut next = Command::new(program);
    next.args(args).current_dir(&orders.cwd);
    if let Some((uid, gid)) = orders.user {
        next.uid(uid).gid(gid);
    }
    let cause = next.exec();
    format!("cannot start {}: {cause}", Path::new(program).display())
}

fn limit(orders: &Orders) {
    let limits = [
        (Resource::Core, Some(0)),
        (Resource::Data, orders.data_bytes),
        (Resource::Cpu, orders.cpu_seconds),
        (Resource::Nofile, orders.files),
    ];
    for (resource, most) in limits.into_iter().filter_map(|(resource, most)| Some((resource, most?))) {
        if let Err(cause) = setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) }) {
            say(&format!("the limit {resource:?} cannot be set: {cause}"));
        }
    }
    if let Err(cause) = setpriority_process(None, orders.nice) {
        say(&format!("its priority cannot be set: {cause}"));
    }
}

/// A line for the gateway's log, by way of the program's standard error.
pub(super) fn say(what: &str) {
    let _nobody_listens = writeln!(std::io::stderr(), "aerostack: {what}");
}

/// Allows everything but what is hidden. Landlock can only allow, so every folder beside the way to a hidden one is
/// allowed as a whole.
fn fence(hide: &[PathBuf], open: &[PathBuf]) -> Result<RulesetStatus, RulesetError> {
    let hide: Vec<PathBuf> = hide.iter().filter_map(|path| path.canonicalize().ok()).collect();
    let mut allowed = open.to_vec();
    beside(Path::new("/"), &hide, &mut allowed);
    let access = AccessFs::from_all(LANDLOCK);
    let rules = allowed.into_iter().filter_map(|path| PathFd::new(path).ok());
    let rules = rules.map(|folder| Ok::<_, RulesetError>(PathBeneath::new(folder, access)));
    let rules =
        Ruleset::default().handle_access(access)?.scope(Scope::from_all(LANDLOCK))?.create()?.add_rules(rules)?;
    Ok(rules.restrict_self()?.ruleset)
}

fn beside(folder: &Path, hide: &[PathBuf], allowed: &mut Vec<PathBuf>) {
    if hide.iter().any(|hidden| hidden == folder) {
        return;
    }
    if !hide.iter().any(|hidden| hidden.starts_with(folder)) {
        return allowed.push(folder.to_owned());
    }
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        // A link leads to a place that is allowed, or not, by itself.
        if entry.file_type().is_ok_and(|kind| !kind.is_symlink()) {
            beside(&entry.path(), hide, allowed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_folders_beside_the_way_to_a_hidden_one_are_allowed() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        for folder in ["a/data/children", "a/other", "b", "keys"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        std::os::unix::fs::symlink(root.join("a/data"), root.join("link")).unwrap();
        let mut allowed = Vec::new();
        beside(&root, &[root.join("a/data"), root.join("keys")], &mut allowed);
        allowed.sort();
        assert_eq!(allowed, [root.join("a/other"), root.join("b")]);
    }
}
