//! Figures about calls: latencies, shares, and what stands beside a chart.

use std::borrow::Borrow;

use crate::{
    admin::dto::{Sums, VolumeLayer},
    domain::clock::Timestamp,
    web::show,
};

/// Layers of a volume besides that of all others: as many as there are colours.
pub const LAYERS: usize = 5;
/// The ends of the scale of [`strip`], microseconds.
const SHORTEST: f64 = 1_000.0;
const LONGEST: f64 = 60_000_000.0;
/// The width of bars and strips.
const WIDTH: u64 = 84;

/// A latency, or that there was no call.
pub fn latency(us: impl Borrow<Option<u64>>) -> String {
    us.borrow().map_or_else(|| r#"<span class="dim">–</span>"#.into(), show::duration)
}

/// A latency as a key figure.
pub fn large(us: impl Borrow<Option<u64>>) -> String {
    match us.borrow().map(show::duration_parts) {
        Some((figure, unit)) => format!("{figure}<small>{unit}</small>"),
        None => "–".into(),
    }
}

/// A latency as a chart reads it from its table.
pub fn plain(us: impl Borrow<Option<u64>>) -> String {
    us.borrow().map(show::duration_parts).map_or_else(|| "–".into(), |(figure, unit)| format!("{figure} {unit}"))
}

/// Who or what a layer is.
pub fn layer(layer: &VolumeLayer) -> String {
    show::text(layer.name.as_deref().unwrap_or("others"))
}

/// The beginning of a step; it leads to its calls.
pub fn step(at: impl Borrow<Timestamp>, href: impl AsRef<str>) -> String {
    let at = at.borrow();
    let (exact, shown) = (at.format("%Y-%m-%dT%H:%MZ"), at.format("%-d %b %H:%M"));
    format!(r#"<a href="{}"><time datetime="{exact}">{shown}</time></a>"#, show::text(href))
}

/// The page of the calls behind a figure: from `from` on, below `base`, with these filters.
pub fn behind(base: &str, from: Timestamp, filters: &[(&str, &str)]) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(filters).append_pair("from", &from.format("%Y-%m-%dT%H:%M:%SZ").to_string());
    format!("{base}/calls?{}", brief(&query.finish()))
}

/// A query as short as it may be: a colon means nothing in it, and pages hold many moments.
pub fn brief(query: &str) -> String {
    query.replace("%3A", ":")
}

/// How calls ended, as parts of one bar: well, with what the tool called an error, with an error. Beside it stand the
/// numbers.
pub fn outcomes(sums: &Sums) -> String {
    let (ok, errors) = (sums.calls.saturating_sub(sums.errors), sums.errors.saturating_sub(sums.tool_errors));
    let share = |calls: u64| if calls == 0 { 0 } else { (calls.saturating_mul(100) / sums.calls.max(1)).max(1) };
    let (bad, warn) = (share(errors), share(sums.tool_errors));
    let good = if ok == 0 { 0 } else { 100_u64.saturating_sub(bad + warn).max(1) };
    let part =
        |class: &str, x: u64, width: u64| format!(r#"<rect class="{class}" x="{x}" width="{width}" height="6"/>"#);
    let (first, second, third) = (part("good", 0, good), part("warn", good, warn), part("bad", good + warn, bad));
    format!(
        r#"<svg class="outcomes" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">{first}{second}{third}</svg>"#
    )
}

/// How many calls these are beside the `most`; `tint` is the colour in the volume.
pub fn share(calls: impl Borrow<u64>, most: impl Borrow<u64>, tint: impl Borrow<usize>) -> String {
    let (calls, most, tint) = (*calls.borrow(), *most.borrow(), *tint.borrow());
    let width = (calls.saturating_mul(WIDTH) / most.max(1)).clamp(u64::from(calls > 0), WIDTH);
    format!(
        r#"<svg class="share" viewBox="0 0 {WIDTH} 6" aria-hidden="true"><rect class="k{tint}" width="{width}" height="6" rx="1"/></svg>"#
    )
}

/// From p50 over p95 to p99 on a scale from a millisecond to a minute, each step ten times the one before.
pub fn strip(sums: &Sums) -> String {
    let (Some(p50), Some(p95), Some(p99)) = (sums.p50_us, sums.p95_us, sums.p99_us) else { return String::new() };
    let place = |us: u64| {
        let share = (us as f64 / SHORTEST).max(1.0).ln() / (LONGEST / SHORTEST).ln();
        2.0 + share.min(1.0) * (WIDTH as f64 - 4.0)
    };
    let (from, middle, to) = (place(p50), place(p95), place(p99));
    format!(
        r#"<svg class="strip" viewBox="0 0 {WIDTH} 12" aria-hidden="true"><path d="M{from:.1} 6H{to:.1}"/><path class="k0" d="M{from:.1} 1v10"/><path class="k1" d="M{middle:.1} 1v10"/><path class="k2" d="M{to:.1} 1v10"/></svg>"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_and_strips_stay_inside_their_frame() {
        assert!(
            share(0_u64, 0_u64, 0_usize).contains(r#" width="0""#)
                && share(1_u64, 1_000_000_u64, 1_usize).contains(r#" width="1""#)
        );
        assert!(share(9_u64, 3_u64, 2_usize).contains(r#"class="k2" width="84""#));
        let of = |p50_us, p99_us| Sums {
            p50_us: Some(p50_us),
            p95_us: Some(p50_us),
            p99_us: Some(p99_us),
            ..Sums::default()
        };
        assert!(strip(&of(1, u64::MAX)).contains("M2.0 6H82.0"), "{}", strip(&of(1, u64::MAX)));
        assert_eq!(strip(&Sums::default()), "");
    }

    #[test]
    fn what_did_not_happen_is_no_number() {
        assert_eq!((plain(None), large(None)), ("–".into(), "–".into()));
        assert_eq!((plain(Some(1200)), plain(Some(2_400_000))), ("1.2 ms".into(), "2.4 s".into()));
    }
}
