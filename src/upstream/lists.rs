//! Fetching what a server offers: tools, prompts, resources and resource templates. All pages, within limits, each item
//! checked on its own. One bad item costs itself, one list that cannot be had costs itself, never the others. Items are
//! kept byte for byte.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    config::UpstreamConfig,
    protocol::{
        scan::{member, object_members, string_value},
        splice::json_string,
    },
    upstream::{Connected, UpstreamError, ask::Reply, mirror},
};

/// Longest description of one item, bytes.
const ITEM_BYTES: usize = 256 * 1024;
/// Longest name, bytes (the specification suggests 128).
const NAME_BYTES: usize = 256;
/// Longest URI or URI template, bytes.
const URI_BYTES: usize = 4096;
/// Dropped items that are remembered with their reason, per list.
const DROPPED: usize = 100;

/// What a list holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `tools/list`.
    Tools,
    /// `prompts/list`.
    Prompts,
    /// `resources/list`.
    Resources,
    /// `resources/templates/list`.
    Templates,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 4] = [Kind::Tools, Kind::Prompts, Kind::Resources, Kind::Templates];

    /// The method that lists it.
    pub const fn method(self) -> &'static str {
        match self {
            Kind::Tools => "tools/list",
            Kind::Prompts => "prompts/list",
            Kind::Resources => "resources/list",
            Kind::Templates => "resources/templates/list",
        }
    }

    /// The member of the result that holds the items.
    pub const fn member(self) -> &'static str {
        match self {
            Kind::Tools => "tools",
            Kind::Prompts => "prompts",
            Kind::Resources => "resources",
            Kind::Templates => "resourceTemplates",
        }
    }

    /// The member of an item that names it.
    pub const fn key(self) -> &'static str {
        match self {
            Kind::Tools | Kind::Prompts => "name",
            Kind::Resources => "uri",
            Kind::Templates => "uriTemplate",
        }
    }

    /// The capability of a server that has such a list.
    pub const fn capability(self) -> &'static str {
        match self {
            Kind::Tools => "tools",
            Kind::Prompts => "prompts",
            Kind::Resources | Kind::Templates => "resources",
        }
    }

    /// One item of it, in a sentence.
    const fn noun(self) -> &'static str {
        match self {
            Kind::Tools => "tool",
            Kind::Prompts => "prompt",
            Kind::Resources => "resource",
            Kind::Templates => "resource template",
        }
    }
}

/// A set of kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Kinds(u8);

impl Kinds {
    /// None.
    pub const NONE: Kinds = Kinds(0);
    /// All of them.
    pub const ALL: Kinds = Kinds(0b1111);

    /// This set and `kind`.
    pub const fn with(self, kind: Kind) -> Kinds {
        Kinds(self.0 | 1 << kind as u8)
    }
    /// Everything in either.
    pub const fn and(self, other: Kinds) -> Kinds {
        Kinds(self.0 | other.0)
    }
    /// Whether `kind` is in it.
    pub const fn has(self, kind: Kind) -> bool {
        self.0 & 1 << kind as u8 != 0
    }
    /// Whether nothing is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// A tool, prompt, resource or template as its server described it.
#[derive(Debug, Clone)]
pub struct Item {
    /// The server's own name for it; the URI of a resource, the URI template of a template.
    pub name: Box<str>,
    /// The whole description, byte for byte.
    pub raw: Box<RawValue>,
}

/// An item that is not offered, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Dropped {
    /// Its name, if it has one.
    pub name: String,
    /// What is wrong with it.
    pub reason: String,
}

/// One list of a server.
#[derive(Debug, Default)]
pub struct List {
    /// What is offered, in the server's order.
    pub items: Vec<Item>,
    /// What is not.
    pub dropped: Vec<Dropped>,
    /// Milliseconds that the list may be relied on, as the server said; none: it did not say, or there is no list.
    pub ttl_ms: Option<u64>,
    seen: HashSet<Box<str>>,
}

/// What a server offers, as it said last. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Offer {
    /// What the server is: revision, capabilities, instructions.
    pub about: Arc<Connected>,
    lists: [Arc<List>; 4],
}

impl Offer {
    /// Nothing yet, of this server.
    pub fn empty(about: Arc<Connected>) -> Self {
        Offer { about, lists: Default::default() }
    }

    /// The same lists of a server that has been asked anew what it is.
    pub fn of_now(self, about: Arc<Connected>) -> Self {
        Offer { about, ..self }
    }

    /// The list of that kind.
    pub fn list(&self, kind: Kind) -> &Arc<List> {
        let [tools, prompts, resources, templates] = &self.lists;
        match kind {
            Kind::Tools => tools,
            Kind::Prompts => prompts,
            Kind::Resources => resources,
            Kind::Templates => templates,
        }
    }

    /// The same with these items (raw JSON) in a list. What is not JSON is left out.
    pub fn listing(mut self, kind: Kind, items: Vec<String>) -> Self {
        let mut list = List::default();
        for raw in items.into_iter().map(RawValue::from_string) {
            match raw {
                Ok(raw) => list.add(kind, &raw, true),
                Err(_not_json) => list.leave_out(kind, "", "it is not JSON".into()),
            }
        }
        self.put(kind, Arc::new(list));
        self
    }

    fn put(&mut self, kind: Kind, list: Arc<List>) {
        let [tools, prompts, resources, templates] = &mut self.lists;
        match kind {
            Kind::Tools => *tools = list,
            Kind::Prompts => *prompts = list,
            Kind::Resources => *resources = list,
            Kind::Templates => *templates = list,
        }
    }

    /// The tools.
    pub fn tools(&self) -> &[Item] {
        &self.list(Kind::Tools).items
    }

    /// Everything that is not offered.
    pub fn dropped(&self) -> Vec<Dropped> {
        self.lists.iter().flat_map(|list| list.dropped.iter().cloned()).collect()
    }

    /// Whether a client could tell the two apart.
    pub fn says_the_same_as(&self, other: &Offer) -> bool {
        let same_items = |kind| {
            let (mine, theirs) = (self.list(kind), other.list(kind));
            Arc::ptr_eq(mine, theirs)
                || mine.items.len() == theirs.items.len()
                    && mine.items.iter().zip(&theirs.items).all(|(a, b)| a.raw.get() == b.raw.get())
        };
        self.about.capabilities == other.about.capabilities
            && self.about.instructions == other.about.instructions
            && self.about.wire.is_modern() == other.about.wire.is_modern()
            && Kind::ALL.into_iter().all(same_items)
    }
}

/// What was fetched.
#[derive(Debug)]
pub struct Fetched {
    /// What the server offers now: lists that were not fetched, or could not be had, are as they were.
    pub offer: Offer,
    /// Why a list besides the tools could not be had.
    pub failure: Option<UpstreamError>,
}

/// Fetches the lists of `wanted` that the server declares, at once. `ask` sends a kind's method with the given members
/// of `params`. Without the tools there is nothing worth having, so that their failure is the whole's.
pub async fn fetch(
    mut offer: Offer,
    wanted: Kinds,
    config: &UpstreamConfig,
    ask: impl AsyncFn(Kind, &str) -> Result<Reply, UpstreamError>,
) -> Result<Fetched, UpstreamError> {
    let about = offer.about.clone();
    let fetched = Kind::ALL.into_iter().filter(|kind| wanted.has(*kind)).map(|kind| {
        let (ask, about) = (&ask, &about);
        async move { (kind, fetch_one(kind, about, config, ask).await) }
    });
    let mut failure = None;
    for (kind, outcome) in join_all(fetched).await {
        match outcome {
            Ok(list) => offer.put(kind, Arc::new(list)),
            Err(cause) if kind == Kind::Tools || matches!(cause, UpstreamError::SessionExpired) => return Err(cause),
            // It will say the same the next time. Who operates it is told; what was known stays.
            Err(UpstreamError::Protocol(what)) if offer.list(kind).items.is_empty() => {
                let mut list = List::default();
                list.leave_out(kind, "", format!("the list could not be had: {what}"));
                offer.put(kind, Arc::new(list));
            }
            Err(UpstreamError::Protocol(_)) => {}
            Err(cause) => failure = Some(cause),
        }
    }
    Ok(Fetched { offer, failure })
}

async fn fetch_one(
    kind: Kind,
    about: &Connected,
    config: &UpstreamConfig,
    ask: &impl AsyncFn(Kind, &str) -> Result<Reply, UpstreamError>,
) -> Result<List, UpstreamError> {
    let declared = about.declares(kind.capability());
    // Servers that forgot to declare their tools exist; whoever has none need not know the method.
    if !declared && kind != Kind::Tools {
        return Ok(List::default());
    }
    let listed = pages(kind, about.wire.is_modern(), config, async |members: &str| ask(kind, members).await).await;
    match listed {
        // Templates have no capability of their own.
        Err(UpstreamError::Protocol(_)) if !declared || kind == Kind::Templates => Ok(List::default()),
        listed => listed,
    }
}

/// Fetches all pages of one list.
async fn pages(
    kind: Kind,
    modern: bool,
    config: &UpstreamConfig,
    ask: impl AsyncFn(&str) -> Result<Reply, UpstreamError>,
) -> Result<List, UpstreamError> {
    let (most, setting) = match kind {
        Kind::Tools => (config.tools, "upstream.tools"),
        _ => (config.list_items, "upstream.list_items"),
    };
    let mut list = List::default();
    let mut cursors = HashSet::new();
    let mut members = String::new();
    for _ in 0..config.list_pages {
        let reply = ask(&members).await?;
        let (items, next, ttl_ms) = page(kind, &reply)?;
        list.ttl_ms = if members.is_empty() { ttl_ms } else { list.ttl_ms.min(ttl_ms) };
        for raw in items {
            if list.items.len() >= most {
                list.leave_out(kind, "", format!("the list ends after {most} of them ({setting})"));
                return Ok(list);
            }
            list.add(kind, raw, modern);
        }
        // An empty cursor is a cursor; only its absence ends the list.
        let Some(cursor) = next else { return Ok(list) };
        members = format!("\"cursor\":{}", json_string(&cursor));
        if !cursors.insert(cursor) {
            list.leave_out(kind, "", "the server's pages repeat themselves; the rest is not fetched".into());
            return Ok(list);
        }
    }
    list.leave_out(kind, "", format!("the list ends after {} pages (upstream.list_pages)", config.list_pages));
    Ok(list)
}

type PageParts<'a> = (Vec<&'a RawValue>, Option<String>, Option<u64>);

/// The items of one page, the cursor of the next, and how long they may be relied on.
fn page(kind: Kind, reply: &Reply) -> Result<PageParts<'_>, UpstreamError> {
    let wrong = || UpstreamError::Protocol("its answer does not have the shape the method demands".into());
    let mut result: BTreeMap<String, &RawValue> = reply.parse()?;
    let items = result.remove(kind.member()).ok_or_else(wrong)?;
    let items = serde_json::from_str(items.get()).map_err(|_cause| wrong())?;
    let next = result.remove("nextCursor").map(|raw| serde_json::from_str::<Option<String>>(raw.get()));
    let next = next.transpose().map_err(|_cause| wrong())?.flatten();
    let ttl_ms = result.remove("ttlMs").and_then(|raw| raw.get().parse().ok());
    Ok((items, next, ttl_ms))
}

impl List {
    fn add(&mut self, kind: Kind, raw: &RawValue, modern: bool) {
        let body = raw.get().as_bytes();
        let members = object_members(body, 0..body.len());
        let name = member(&members, body, kind.key()).and_then(|range| string_value(body, range)).unwrap_or_default();
        let checked = match kind {
            Kind::Tools => check_name(&name).and_then(|()| check_schema(raw, modern)),
            Kind::Prompts => check_name(&name),
            Kind::Resources | Kind::Templates => check_uri(&name),
        };
        let checked = checked.and_then(|()| match body.len() > ITEM_BYTES {
            true => Err(format!("its description is larger than {ITEM_BYTES} bytes")),
            false => Ok(()),
        });
        match checked {
            Err(reason) => self.leave_out(kind, &name, reason),
            Ok(()) if !self.seen.insert((&*name).into()) => self.leave_out(kind, &name, "it occurs twice".into()),
            Ok(()) => self.items.push(Item { name: (&*name).into(), raw: raw.to_owned() }),
        }
    }

    fn leave_out(&mut self, kind: Kind, name: &str, reason: String) {
        if self.dropped.len() < DROPPED {
            let name = name.chars().filter(|c| !c.is_control()).take(80).collect();
            let reason = if kind == Kind::Tools { reason } else { format!("{}: {reason}", kind.noun()) };
            self.dropped.push(Dropped { name, reason });
        }
    }
}

fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > NAME_BYTES || name.chars().any(char::is_control) {
        return Err(format!("its name is missing, longer than {NAME_BYTES} bytes, or has control characters"));
    }
    Ok(())
}

fn check_uri(uri: &str) -> Result<(), String> {
    if uri.is_empty() || uri.len() > URI_BYTES || uri.chars().any(char::is_control) {
        return Err(format!("its URI is missing, longer than {URI_BYTES} bytes, or has control characters"));
    }
    Ok(())
}

fn check_schema(raw: &RawValue, modern: bool) -> Result<(), String> {
    #[derive(Deserialize)]
    struct Described<'a> {
        #[serde(borrow, rename = "inputSchema")]
        schema: Option<&'a RawValue>,
    }
    let described = serde_json::from_str::<Described<'_>>(raw.get()).ok();
    let schema = described.and_then(|tool| tool.schema).filter(|schema| schema.get().starts_with('{'));
    let Some(schema) = schema else {
        return Err("it has no inputSchema, or one that is not an object".into());
    };
    // The specification: a client drops tools whose header annotations are invalid.
    if modern {
        mirror::mirrored(schema)?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "lists_tests.rs"]
mod tests;
