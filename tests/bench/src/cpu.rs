//! CPU time of a process and its children, from /proc.

use std::fs;

/// Clock ticks a second: the kernel reports in these, and on Linux they are 100 on every common architecture.
const TICKS: u64 = 100;

/// Microseconds that the process and all its children have used (user and kernel).
pub fn micros(pid: u32) -> u64 {
    let own = fs::read_to_string(format!("/proc/{pid}/stat")).ok().and_then(|stat| ticks(&stat)).unwrap_or(0);
    let below: u64 = children(pid).into_iter().map(micros).sum();
    own * (1_000_000 / TICKS) + below
}

/// utime + stime; the fields are counted from behind the name, which may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

fn children(pid: u32) -> Vec<u32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let lists = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn fields_are_counted_from_behind_the_name() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 1 0 0 0 12 30 0 0 20 0 1 0 5 6 7";
        assert_eq!(super::ticks(stat), Some(42));
    }
}
