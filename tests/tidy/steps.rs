//! How `.ci/run` puts its steps one after the other and beside each other (`.ci/steps.sh`), with stubs for the steps.

use std::process::Command;

/// Runs steps; gives what they and the run said, and whether all is well.
fn run(steps: &str) -> (String, bool) {
    let script = format!("set -euo pipefail\n. .ci/steps.sh\n{steps}");
    let done = Command::new("bash").args(["-c", &script]).current_dir(super::root()).output();
    let done = done.unwrap_or_else(|cause| panic!("bash: {cause}"));
    let said = [done.stdout, done.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (said, done.status.success())
}

#[test]
fn steps_beside_each_other_are_shown_where_they_are_awaited() {
    let (said, well) = run("build() { echo built; }\n\
         step one; echo first\n\
         beside 'a release; built' build\n\
         step two; echo second\n\
         settle 'a release; built'\n\
         step three; echo third\n\
         finished");
    assert!(well, "{said}");
    let places: Vec<_> = ["first", "second", "\nbuilt\n", "third", "all passed"].map(|text| said.find(text)).into();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{said}");
}

#[test]
fn a_step_beside_others_that_fails_fails_the_run_and_is_named_and_shown() {
    let (said, well) = run("build() { echo half way; false; echo went on; }\n\
         beside 'release build' build\n\
         step clippy; echo checked\n\
         settle 'release build'\n\
         step demo; echo went on\n\
         finished");
    assert!(!well && !said.contains("went on"), "{said}");
    assert!(said.contains("half way") && said.contains("checked"), "{said}");
    assert!(said.contains("FAILED") && said.trim_end().ends_with(": release build"), "{said}");
}

#[test]
fn a_step_that_fails_ends_those_beside_it() {
    let begun = aerostack::domain::clock::instant();
    let (said, well) = run("build() { echo begun; sleep 300 & echo \"process $!\"; wait; }\n\
         beside 'release build' build\n\
         step clippy\n\
         until grep -q process \"${log['release build']}\"; do read -rt 0.05 <> <(:) || true; done\n\
         false\n\
         finished");
    assert!(!well && begun.elapsed().as_secs() < 120, "{said}");
    assert!(said.trim_end().ends_with(": clippy") && said.contains("begun"), "{said}");
    let process = said.lines().find_map(|line| line.strip_prefix("process ")).expect("its number is shown");
    let goes_on = std::path::Path::new("/proc").join(process).join("cwd");
    while goes_on.exists() {
        assert!(begun.elapsed().as_secs() < 120, "nothing goes on");
        std::thread::yield_now();
    }
}
