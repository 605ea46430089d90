//! One merged list of a workspace: its entries in order, written out once for clients of either era when the catalogue
//! changes. What is asked for later is only cut from these bytes.

use std::{ops::Range, sync::Arc, sync::OnceLock};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::actors::catalog::Route;

/// One thing in a list.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Where it leads.
    pub route: Arc<Route>,
    modern: Option<Range<usize>>,
    legacy: Option<Range<usize>>,
}

/// A list in the form that one era sees.
#[derive(Debug, Default)]
struct Form {
    json: Bytes,
    version: OnceLock<u64>,
}

impl Form {
    fn text(&self, range: Option<&Range<usize>>) -> Option<&str> {
        std::str::from_utf8(self.json.get(range?.clone())?).ok()
    }
}

/// A merged list.
#[derive(Debug, Default)]
pub struct Listing {
    entries: Vec<Entry>,
    modern: Form,
    legacy: Form,
}

/// A part of a list that is to be sent.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    /// A JSON array.
    pub json: Bytes,
    /// Where the next page begins, if there is one.
    pub next: Option<usize>,
}

impl Listing {
    /// Everything in it, in list order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The whole list as a JSON array, as clients of 2026-07-28 or of older revisions see it.
    pub fn json(&self, modern: bool) -> &Bytes {
        &self.form(modern).json
    }

    /// The description of one entry; none if clients of that era do not see it.
    pub fn item(&self, entry: &Entry, modern: bool) -> Option<Bytes> {
        let range = if modern { entry.modern.clone() } else { entry.legacy.clone() };
        Some(self.form(modern).json.slice(range?))
    }

    /// Names what the list says: another list has another number.
    pub fn version(&self, modern: bool) -> u64 {
        let form = self.form(modern);
        *form.version.get_or_init(|| {
            let digest = Sha256::digest(&form.json);
            digest.first_chunk::<8>().map_or(0, |first| u64::from_be_bytes(*first))
        })
    }

    /// `most` entries from the one at `from` on.
    pub fn page(&self, modern: bool, from: usize, most: usize) -> Page {
        let whole = self.form(modern);
        if from == 0 && self.entries.len() <= most {
            return Page { json: whole.json.clone(), next: None };
        }
        let to = from.saturating_add(most.max(1)).min(self.entries.len());
        let shown = self.entries.get(from..to).unwrap_or_default();
        let ranges = shown.iter().filter_map(|entry| if modern { entry.modern.clone() } else { entry.legacy.clone() });
        let mut json = vec![b'['];
        for range in ranges {
            if json.len() > 1 {
                json.push(b',');
            }
            json.extend_from_slice(whole.json.get(range).unwrap_or_default());
        }
        json.push(b']');
        Page { json: json.into(), next: (to < self.entries.len()).then_some(to) }
    }

    /// The entries that `keep` keeps, as a list of their own.
    pub fn only(&self, keep: impl Fn(&Entry) -> bool) -> Listing {
        let mut part = ListingBuilder::default();
        for entry in self.entries.iter().filter(|entry| keep(entry)) {
            let (modern, legacy) = (self.modern.text(entry.modern.as_ref()), self.legacy.text(entry.legacy.as_ref()));
            part.push(entry.route.clone(), modern, legacy);
        }
        part.finish()
    }

    /// Whether clients of either era would see a difference.
    pub fn differs_from(&self, other: &Listing) -> bool {
        self.modern.json != other.modern.json || self.legacy.json != other.legacy.json
    }

    fn form(&self, modern: bool) -> &Form {
        if modern { &self.modern } else { &self.legacy }
    }
}

/// A list that is being put together.
#[derive(Debug)]
pub struct ListingBuilder {
    entries: Vec<Entry>,
    modern: String,
    legacy: String,
}

impl Default for ListingBuilder {
    /// An empty list.
    fn default() -> Self {
        ListingBuilder { entries: Vec::new(), modern: "[".into(), legacy: "[".into() }
    }
}

impl ListingBuilder {
    /// Appends a thing as each era sees it; none: that era does not.
    pub fn push(&mut self, route: Arc<Route>, modern: Option<&str>, legacy: Option<&str>) {
        let modern = modern.map(|text| append(&mut self.modern, text));
        let legacy = legacy.map(|text| append(&mut self.legacy, text));
        self.entries.push(Entry { route, modern, legacy });
    }

    /// The list.
    pub fn finish(mut self) -> Listing {
        self.modern.push(']');
        self.legacy.push(']');
        let modern = Bytes::from(self.modern);
        let legacy = if self.legacy.as_bytes() == modern { modern.clone() } else { self.legacy.into() };
        let form = |json| Form { json, version: OnceLock::new() };
        Listing { entries: self.entries, modern: form(modern), legacy: form(legacy) }
    }
}

fn append(json: &mut String, text: &str) -> Range<usize> {
    if json.len() > 1 {
        json.push(',');
    }
    let from = json.len();
    json.push_str(text);
    from..json.len()
}
