//! Latencies as a mergeable histogram: buckets whose width is 1/32 of their power of two, so that any percentile is
//! within 1.6 % of the truth whatever the range, and two histograms merge by adding counts. Stored sparsely.

use std::cmp::Ordering;

use crate::{
    error::{Error, Result},
    store::column::damaged,
};

/// Buckets per power of two.
const PARTS: u64 = 32;
const PARTS_LOG2: u32 = 5;
/// The bucket of `u64::MAX`.
const LAST_BUCKET: u16 = 1919;
/// First byte of the stored form.
const FORMAT: u8 = 1;

/// How many values fell into which bucket, in order of buckets. Values are microseconds here, but it does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Histogram(Vec<(u16, u64)>);

impl Histogram {
    /// Counts `value`.
    pub fn record(&mut self, value: u64) {
        let bucket = bucket(value);
        match self.0.binary_search_by_key(&bucket, |(bucket, _)| *bucket) {
            Ok(at) => {
                if let Some((_, count)) = self.0.get_mut(at) {
                    *count += 1;
                }
            }
            Err(at) => self.0.insert(at, (bucket, 1)),
        }
    }

    /// Adds another histogram's counts.
    pub fn merge(&mut self, other: &Histogram) {
        if self.0.is_empty() {
            self.0.clone_from(&other.0);
            return;
        }
        let mut merged = Vec::with_capacity(self.0.len() + other.0.len());
        let (mut own, mut others) = (self.0.iter().copied().peekable(), other.0.iter().copied().peekable());
        loop {
            let next = match (own.peek(), others.peek()) {
                (Some((mine, _)), Some((theirs, _))) => mine.cmp(theirs),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => break,
            };
            merged.extend(match next {
                Ordering::Less => own.next(),
                Ordering::Greater => others.next(),
                Ordering::Equal => {
                    own.next().zip(others.next()).map(|((bucket, a), (_, b))| (bucket, a.saturating_add(b)))
                }
            });
        }
        self.0 = merged;
    }

    /// How many values were counted.
    pub fn count(&self) -> u64 {
        self.0.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// The value that `percent` of the values do not exceed; `None` when nothing was counted.
    pub fn percentile(&self, percent: u8) -> Option<u64> {
        let count = self.count();
        let rank = count.saturating_mul(u64::from(percent.min(100))).div_ceil(100).max(1);
        let mut seen: u64 = 0;
        self.0.iter().find_map(|(bucket, count)| {
            seen = seen.saturating_add(*count);
            (seen >= rank).then(|| middle(*bucket))
        })
    }

    /// The stored form: format, then pairs of (distance from the bucket before, count) as LEB128.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1 + self.0.len() * 3);
        bytes.push(FORMAT);
        let mut before = 0;
        for (bucket, count) in &self.0 {
            write_number(&mut bytes, u64::from(bucket - before));
            write_number(&mut bytes, *count);
            before = *bucket;
        }
        bytes
    }

    /// From the stored form; nothing stored is an empty histogram.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut buckets = Vec::with_capacity(bytes.len() / 2);
        read(bytes, |bucket, count| buckets.push((bucket, count)))?;
        Ok(Histogram(buckets))
    }

    /// The sum of several in their stored form, in hexadecimal with `-` between them: a database that cannot merge them
    /// gives them so.
    pub fn from_hex_list(list: &str) -> Result<Self> {
        // One place for each bucket: adding many small ones to a large one costs no more than the small ones have.
        let (mut counts, mut bytes) = (vec![0_u64; usize::from(LAST_BUCKET) + 1], Vec::new());
        for one in list.split('-') {
            bytes.clear();
            let (pairs, odd) = one.as_bytes().as_chunks::<2>();
            for [high, low] in pairs {
                let byte = nibble(*high).zip(nibble(*low)).map(|(high, low)| (high << 4) | low);
                bytes.push(byte.ok_or_else(not_hexadecimal)?);
            }
            if !odd.is_empty() {
                return Err(not_hexadecimal());
            }
            read(&bytes, |bucket, more| {
                if let Some(count) = counts.get_mut(usize::from(bucket)) {
                    *count = count.saturating_add(more);
                }
            })?;
        }
        Ok(Histogram((0..).zip(counts).filter(|(_, count)| *count > 0).collect()))
    }
}

/// Gives the buckets of a stored form, in order.
fn read(bytes: &[u8], mut give: impl FnMut(u16, u64)) -> Result<()> {
    let mut rest = match bytes.split_first() {
        None => return Ok(()),
        Some((&FORMAT, rest)) => rest,
        Some(_) => return Err(damaged("a histogram", "unknown format")),
    };
    let (mut bucket, mut first) = (0_u64, true);
    while !rest.is_empty() {
        let (distance, count) =
            read_number(&mut rest).zip(read_number(&mut rest)).ok_or_else(|| damaged("a histogram", "cut short"))?;
        bucket = bucket.saturating_add(distance);
        match u16::try_from(bucket) {
            Ok(bucket) if bucket <= LAST_BUCKET && (first || distance > 0) => give(bucket, count),
            _ => return Err(damaged("a histogram", "no such bucket")),
        }
        first = false;
    }
    Ok(())
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

fn not_hexadecimal() -> Error {
    damaged("a histogram", "not hexadecimal")
}

fn bucket(value: u64) -> u16 {
    let power = value.checked_ilog2().unwrap_or(0).saturating_sub(PARTS_LOG2);
    let index = u64::from(power) * PARTS + (value >> power);
    u16::try_from(index).unwrap_or(LAST_BUCKET)
}

fn middle(bucket: u16) -> u64 {
    let bucket = u64::from(bucket);
    if bucket < 2 * PARTS {
        return bucket;
    }
    let power = bucket / PARTS - 1;
    let lowest = (bucket % PARTS + PARTS) << power;
    lowest + (1 << power) / 2
}

pub(super) fn write_number(bytes: &mut Vec<u8>, mut number: u64) {
    loop {
        let low = u8::try_from(number & 0x7f).unwrap_or_default();
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return;
        }
        bytes.push(low | 0x80);
    }
}

pub(super) fn read_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number: u64 = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        values.iter().for_each(|value| histogram.record(*value));
        histogram
    }

    #[test]
    fn percentiles_of_small_values_are_exact() {
        let histogram = of(&(1..=60).collect::<Vec<_>>());
        assert_eq!(histogram.percentile(50), Some(30));
        assert_eq!(histogram.percentile(0), Some(1));
        assert_eq!(histogram.percentile(100), Some(60));
        assert_eq!(Histogram::default().percentile(50), None);
    }

    #[test]
    fn rubbish_is_reported_and_nothing_is_empty() {
        assert!(Histogram::from_bytes(&[9]).is_err());
        assert!(Histogram::from_bytes(&[1, 0x80]).is_err());
        assert!(Histogram::from_bytes(&[1, 3]).is_err());
        assert_eq!(bucket(u64::MAX), LAST_BUCKET);
        assert!(Histogram::from_bytes(&[1, 0xff, 0x0e, 1]).is_ok(), "1919 is the last bucket");
        assert!(Histogram::from_bytes(&[1, 0x80, 0x0f, 1]).is_err(), "1920 would be the next");
        assert_eq!(Histogram::from_bytes(&[]).unwrap(), Histogram::default());
        for (list, good) in
            [("", true), ("-", true), ("010101", true), ("01010", false), ("01g1", false), ("01-02", false)]
        {
            assert_eq!(Histogram::from_hex_list(list).is_ok(), good, "{list}");
        }
    }

    proptest! {
        #[test]
        fn a_percentile_is_within_two_percent(mut values in prop::collection::vec(any::<u64>(), 1..200), percent in 0..=100u8) {
            let estimate = of(&values).percentile(percent).unwrap();
            values.sort_unstable();
            let rank = (values.len() * usize::from(percent)).div_ceil(100).max(1);
            let truth = values[rank - 1];
            prop_assert!(estimate.abs_diff(truth) <= truth / 50, "{estimate} for {truth}");
        }

        #[test]
        fn merging_equals_counting_together(a in prop::collection::vec(any::<u64>(), 0..50), b in prop::collection::vec(any::<u64>(), 0..50)) {
            let mut merged = of(&a);
            merged.merge(&of(&b));
            prop_assert_eq!(&merged, &of(&[a.clone(), b.clone()].concat()));
            prop_assert_eq!(&Histogram::from_bytes(&merged.to_bytes()).unwrap(), &merged);
            let hex = |values: &[u64]| of(values).to_bytes().iter().map(|byte| format!("{byte:02X}")).collect::<String>();
            prop_assert_eq!(Histogram::from_hex_list(&format!("{}-{}-", hex(&a), hex(&b))).unwrap(), merged);
        }

        #[test]
        fn no_stored_form_panics(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(histogram) = Histogram::from_bytes(&bytes) {
                let _ = (histogram.count(), histogram.percentile(99));
            }
        }
    }
}
