//! Many calls of one minute in one row. When calls come by the thousand, a row for each would cost more than the calls
//! themselves have left; together they cost some fifty bytes each and one insert. Few calls stay rows of their own, which
//! the database can look through itself.
//!
//! The form: a version; who called what, each combination once; then the calls, each with the number of its combination.
//! Numbers are LEB128.

use std::{
    collections::HashMap,
    hash::{Hash, Hasher},
    ops::Range,
};

use entities::tool_call_pack::{ActiveModel, Column, Entity, Model};
use futures_util::TryStreamExt as _;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseConnection, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect, QueryTrait as _, Set,
};
use uuid::Uuid;

use crate::{
    domain::{
        clock::Timestamp,
        ids::{AccountId, CallId, ServerId, TokenId, WorkspaceId},
        span::MINUTE_US,
    },
    error::Result,
    store::{
        analytics::{Outcome, ToolCallEvent},
        calls::{CallFilter, CallRecord},
        column::{damaged, signed32},
        histogram::{read_number, write_number},
    },
};

/// Calls of a minute that are worth a pack.
pub(super) const WORTH: usize = 64;
/// First byte of the stored form.
const FORMAT: u8 = 1;
/// Rows that are deleted where a thousand calls may be.
const CALLS_OF_A_ROW: u64 = 100;

/// Who called what: what many calls have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Who {
    workspace: WorkspaceId,
    token: TokenId,
    account: Option<AccountId>,
    server: ServerId,
    texts: [String; 5],
}

/// The same while it is only looked at.
#[derive(PartialEq, Eq)]
struct WhoseCall<'e> {
    ids: [Uuid; 3],
    account: Option<Uuid>,
    texts: [&'e str; 5],
}

/// Of what differs most: every call is looked up by this.
impl Hash for WhoseCall<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let ([_workspace, token, _server], [.., tool]) = (&self.ids, &self.texts);
        token.hash(state);
        tool.hash(state);
    }
}

impl<'e> WhoseCall<'e> {
    fn of(event: &'e ToolCallEvent) -> Self {
        WhoseCall {
            ids: [event.workspace.0, event.token.0, event.server.0],
            account: event.account.map(|id| id.0),
            texts: [&event.credential, &event.client, event.era, &event.server_slug, &event.tool],
        }
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        self.ids.iter().for_each(|id| bytes.extend_from_slice(id.as_bytes()));
        bytes.push(u8::from(self.account.is_some()));
        bytes.extend_from_slice(self.account.unwrap_or_default().as_bytes());
        for text in self.texts {
            write_number(bytes, text.len() as u64);
            bytes.extend_from_slice(text.as_bytes());
        }
    }
}

/// Packs calls of one minute.
fn pack(minute: i64, events: &[&ToolCallEvent]) -> Vec<u8> {
    let mut numbers: HashMap<WhoseCall<'_>, u64> = HashMap::new();
    let (mut head, mut calls) = (Vec::new(), Vec::with_capacity(events.len() * 40));
    for event in events {
        let next = numbers.len() as u64;
        let number = *numbers.entry(WhoseCall::of(event)).or_insert(next);
        if number == next {
            WhoseCall::of(event).write(&mut head);
        }
        calls.extend_from_slice(event.call.0.as_bytes());
        let into_minute = event.at.timestamp_micros().saturating_sub(minute.saturating_mul(MINUTE_US));
        let outcome = i64::from(event.outcome.column());
        let zigzag = ((outcome << 1) ^ (outcome >> 63)).cast_unsigned();
        for value in [
            into_minute.max(0).cast_unsigned(),
            number,
            zigzag,
            event.latency_us,
            event.upstream_us,
            event.bytes_in,
            event.bytes_out,
        ] {
            write_number(&mut calls, value);
        }
    }
    let mut bytes = Vec::with_capacity(16 + head.len() + calls.len());
    bytes.push(FORMAT);
    write_number(&mut bytes, numbers.len() as u64);
    bytes.append(&mut head);
    write_number(&mut bytes, events.len() as u64);
    bytes.append(&mut calls);
    bytes
}

/// Reads packed calls one after the other.
struct Unpacking<'p> {
    rest: &'p [u8],
    minute_us: i64,
    who: Vec<(Who, bool)>,
    left: u64,
}

impl<'p> Unpacking<'p> {
    /// `wanted` says whose calls are to be given.
    fn begin(pack: &'p Model, wanted: impl Fn(&Who) -> bool) -> Result<Self> {
        let began = CallId(pack.id).began().timestamp_micros();
        let (format, rest) = pack.body.split_first().ok_or_else(cut_short)?;
        if *format != FORMAT {
            return Err(damaged("packed calls", "unknown format"));
        }
        let minute_us = began.div_euclid(MINUTE_US).saturating_mul(MINUTE_US);
        let mut unpacking = Unpacking { rest, minute_us, who: Vec::new(), left: 0 };
        for _ in 0..unpacking.number()? {
            let who = unpacking.who()?;
            let wanted = wanted(&who);
            unpacking.who.push((who, wanted));
        }
        // Most packs have nothing of what is rarely called: they are not looked through.
        let any = unpacking.who.iter().any(|(_, wanted)| *wanted);
        unpacking.left = if any { unpacking.number()? } else { 0 };
        Ok(unpacking)
    }

    fn number(&mut self) -> Result<u64> {
        read_number(&mut self.rest).ok_or_else(cut_short)
    }

    fn bytes(&mut self, many: u64) -> Result<&'p [u8]> {
        let many = usize::try_from(many).map_err(|_length| cut_short())?;
        let (bytes, rest) = self.rest.split_at_checked(many).ok_or_else(cut_short)?;
        self.rest = rest;
        Ok(bytes)
    }

    fn id(&mut self) -> Result<Uuid> {
        Uuid::from_slice(self.bytes(16)?).map_err(|_length| cut_short())
    }

    fn text(&mut self) -> Result<String> {
        let length = self.number()?;
        let text = std::str::from_utf8(self.bytes(length)?);
        text.map(str::to_owned).map_err(|_odd| damaged("packed calls", "not UTF-8"))
    }

    fn who(&mut self) -> Result<Who> {
        let (workspace, token, server) = (self.id()?, self.id()?, self.id()?);
        let has_account = self.bytes(1)? == [1];
        let account = Some(AccountId(self.id()?)).filter(|_| has_account);
        let texts = [self.text()?, self.text()?, self.text()?, self.text()?, self.text()?];
        Ok(Who { workspace: WorkspaceId(workspace), token: TokenId(token), account, server: ServerId(server), texts })
    }

    /// The next call; `None` in its place if it is not wanted, be it for who made it or for what `fits` says of it.
    fn next(&mut self, fits: impl FnOnce(CallId, Outcome) -> bool) -> Result<Option<Option<CallRecord>>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let call = CallId(self.id()?);
        let (into_minute, who, zigzag) = (self.number()?, self.number()?, self.number()?);
        let [latency_us, upstream_us, bytes_in, bytes_out] =
            [self.number()?, self.number()?, self.number()?, self.number()?];
        let outcome = (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed();
        let outcome = i32::try_from(outcome).map_err(|_value| damaged("packed calls", "no such outcome"))?;
        let known = usize::try_from(who).ok().and_then(|who| self.who.get(who));
        let (who, wanted) = known.ok_or_else(|| damaged("packed calls", "nobody made a call"))?;
        let outcome = Outcome::from_column(outcome);
        if !wanted || !fits(call, outcome) {
            return Ok(Some(None));
        }
        let at_us = self.minute_us.saturating_add(into_minute.cast_signed());
        let [credential, client, era, server_slug, tool] = who.texts.clone();
        Ok(Some(Some(CallRecord {
            call,
            at: Timestamp::from_timestamp_micros(at_us).unwrap_or_default(),
            workspace: who.workspace,
            token: who.token,
            account: who.account,
            credential,
            client,
            era,
            server: who.server,
            server_slug,
            tool,
            outcome,
            latency_us,
            upstream_us,
            bytes_in,
            bytes_out,
        })))
    }
}

fn cut_short() -> crate::error::Error {
    damaged("packed calls", "cut short")
}

/// Writes calls of one minute as one row.
pub(super) async fn insert(db: &DatabaseTransaction, minute: i64, events: &[&ToolCallEvent]) -> Result<()> {
    let Some(first) = events.first() else { return Ok(()) };
    let row = ActiveModel {
        id: Set(first.call.0),
        calls: Set(signed32(u32::try_from(events.len()).unwrap_or(u32::MAX))),
        body: Set(pack(minute, events)),
    };
    Entity::insert(row).exec_without_returning(db).await?;
    Ok(())
}

/// The calls in the pack that begins with this one, if there is such a pack.
pub(super) async fn ids_in(db: &impl ConnectionTrait, first: CallId) -> Result<Vec<Uuid>> {
    let Some(pack) = Entity::find_by_id(first.0).one(db).await? else { return Ok(Vec::new()) };
    let (mut ids, mut unpacking) = (Vec::new(), Unpacking::begin(&pack, |_| true)?);
    while let Some(call) = unpacking.next(|_, _| true)? {
        ids.extend(call.map(|call| call.call.0));
    }
    Ok(ids)
}

/// The newest packed calls with ids in `ids` that fit, in no order; `limit` of them, if there are so many.
pub(super) async fn listed(
    db: &DatabaseConnection,
    filter: &CallFilter,
    ids: &Range<CallId>,
    limit: u64,
) -> Result<Vec<CallRecord>> {
    let which = &filter.which;
    let fits = |who: &Who| {
        let [.., tool] = &who.texts;
        which.workspaces.contains(&who.workspace)
            && which.tokens.as_ref().is_none_or(|tokens| tokens.contains(&who.token))
            && which.servers.as_ref().is_none_or(|servers| servers.contains(&who.server))
            && which.tools.as_ref().is_none_or(|tools| tools.contains(tool))
    };
    let minute = |id: CallId| id.began().timestamp_micros().div_euclid(MINUTE_US);
    let begins = |minute: i64| {
        CallId::first_of(Timestamp::from_timestamp_micros(minute.saturating_mul(MINUTE_US)).unwrap_or_default())
    };
    // Whole minutes: a pack may hold calls older than the one it is named after, but of its minute.
    let query = Entity::find()
        .filter(Column::Id.gte(begins(minute(ids.start)).0))
        .filter(Column::Id.lt(begins(minute(ids.end).saturating_add(1)).0))
        .order_by_desc(Column::Id);
    let mut packs = query.stream(db).await?;
    let (mut found, mut complete): (Vec<CallRecord>, Option<i64>) = (Vec::new(), None);
    // A minute may hold hundreds of thousands: of those that are older than enough others, no record is made.
    let mut oldest: Option<CallId> = None;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    while let Some(pack) = packs.try_next().await? {
        let own = minute(CallId(pack.id));
        // Enough, and what follows is older.
        if found.len() >= most && complete.is_some_and(|complete| own < complete) {
            break;
        }
        complete = Some(own);
        let mut unpacking = Unpacking::begin(&pack, fits)?;
        let newer = |call: CallId, outcome| {
            oldest.is_none_or(|oldest| call > oldest) && ids.contains(&call) && filter.is_wanted(outcome)
        };
        while let Some(call) = unpacking.next(newer)? {
            found.extend(call);
        }
        if found.len() > most {
            found.sort_unstable_by_key(|call| std::cmp::Reverse(call.call));
            found.truncate(most);
            oldest = found.last().map(|call| call.call);
        }
    }
    Ok(found)
}

/// Deletes packs of minutes that ended before `before`, with about `limit` calls; how many.
pub(super) async fn prune(db: &DatabaseTransaction, before: Timestamp, limit: u64) -> Result<u64> {
    let minute = before.timestamp_micros().div_euclid(MINUTE_US).saturating_mul(MINUTE_US);
    let end = CallId::first_of(Timestamp::from_timestamp_micros(minute).unwrap_or_default());
    let old = Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::Id.lt(end.0))
        .order_by_asc(Column::Id)
        .limit((limit / CALLS_OF_A_ROW).max(1))
        .into_query();
    Ok(Entity::delete_many().filter(Column::Id.in_subquery(old)).exec(db).await?.rows_affected)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event(minute: i64, n: u64, outcome: Outcome) -> ToolCallEvent {
        let at = Timestamp::from_timestamp_micros(minute * MINUTE_US + i64::try_from(n % 60_000_000).unwrap()).unwrap();
        ToolCallEvent {
            call: CallId::of_call(at),
            at,
            workspace: WorkspaceId(Uuid::from_u128(1)),
            token: TokenId(Uuid::from_u128(u128::from(n % 3))),
            account: n.is_multiple_of(2).then(|| AccountId(Uuid::from_u128(9))),
            credential: String::new(),
            client: "cursor".into(),
            era: "modern",
            server: ServerId(Uuid::from_u128(5)),
            server_slug: "github-mcp".into(),
            tool: format!("t{}", n % 5).into(),
            outcome,
            latency_us: n,
            upstream_us: n / 2,
            bytes_in: u64::MAX,
            bytes_out: 0,
        }
    }

    fn all(pack: &Model, wanted: impl Fn(&Who) -> bool) -> Result<Vec<CallRecord>> {
        let (mut calls, mut unpacking) = (Vec::new(), Unpacking::begin(pack, wanted)?);
        while let Some(call) = unpacking.next(|_, _| true)? {
            calls.extend(call);
        }
        Ok(calls)
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_back(numbers in prop::collection::vec((any::<u64>(), prop_oneof![any::<i32>(), 0..3]), 1..80)) {
            let minute = 29_400_000;
            let outcome = |code: i32| if code > 1 { Outcome::Ok } else { Outcome::Error(code) };
            let events: Vec<_> = numbers.iter().map(|(n, code)| event(minute, *n, outcome(*code))).collect();
            let refs: Vec<&ToolCallEvent> = events.iter().collect();
            let pack = Model { id: events[0].call.0, calls: 1, body: pack(minute, &refs) };
            let back = all(&pack, |_| true).unwrap();
            prop_assert_eq!(back.len(), events.len());
            for (call, event) in back.iter().zip(&events) {
                prop_assert_eq!((call.call, call.at, call.token, call.account), (event.call, event.at, event.token, event.account));
                prop_assert_eq!((&*call.tool, call.outcome, call.latency_us), (&*event.tool, event.outcome, event.latency_us));
                prop_assert_eq!((call.bytes_in, &*call.server_slug, &*call.era), (u64::MAX, "github-mcp", "modern"));
            }
            prop_assert_eq!(all(&pack, |_| false).unwrap(), vec![]);
        }

        #[test]
        fn no_stored_form_panics(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let pack = Model { id: Uuid::nil(), calls: 1, body };
            let _damaged_or_not = all(&pack, |_| true);
        }
    }
}
