//! A namespace at a glance: what an administrator looks at in the morning.

use std::collections::{BTreeMap, BTreeSet};

use actix_web::{HttpResponse, web};
use chrono::{TimeDelta, Timelike as _};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    actors::{Actors, upstream_link::Phase},
    admin::{
        Admin,
        asked::{self, Asked, People, Question},
        auth::Caller,
        dto::{ExpiringToken, Overview, ServersUp, UnusualToken},
        figures::sums,
        openapi::Problems,
        reply::Reply,
        request::Query,
    },
    domain::{
        clock::{self, Timestamp},
        ids::{ServerId, TokenId, WorkspaceId},
        role::Principal,
        span::{DAY_US, Span},
        unusual::{DAYS, Habits, NEW_DAYS, Thresholds},
    },
    error::Result,
    store::usage::{self, By, Detail, Figures, UsageFilter, Which},
};

/// Where it is morning.
#[derive(Debug, Clone, Copy, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OverviewQuery {
    /// Minutes by which the time zone, whose midnight `today` begins with, is ahead of UTC.
    #[serde(default)]
    pub utc_offset_minutes: i32,
}

/// The namespace at a glance.
pub async fn overview(actors: &Actors, by: &Principal, query: OverviewQuery) -> Result<Overview> {
    asked::zone(query.utc_offset_minutes)?;
    let asked = Asked::of(actors, by, Question::default()).await?;
    let now = clock::now();
    // To the minute: not everywhere does a day begin with an hour of UTC.
    let today = Span::of_minutes(midnight(now, query.utc_offset_minutes), now);
    let week = Span::holding(now - TimeDelta::days(7), now, now);
    let (today, active_today) = stretch(actors, &asked, today).await?;
    let (week, active_week) = stretch(actors, &asked, week).await?;
    Ok(Overview {
        today: sums(&today),
        week: sums(&week),
        active_today,
        active_week,
        servers: servers(actors, &asked.places),
        expiring: expiring(actors, &asked, now),
        unusual: unusual(actors, &asked.places, &asked.people).await?,
        recorded: actors.analytics.is_enabled(),
    })
}

fn midnight(now: Timestamp, offset: i32) -> Timestamp {
    let local = now + TimeDelta::minutes(i64::from(offset));
    now - TimeDelta::seconds(i64::from(local.num_seconds_from_midnight()))
}

/// All calls of a stretch, and how many people made them.
async fn stretch(actors: &Actors, asked: &Asked, span: Span) -> Result<(Figures, u64)> {
    let filter = UsageFilter { which: asked.which.clone(), span };
    let read = actors.store.analytics(move |db| async move {
        let all = usage::figures(&db, &filter, By { detail: Detail::Latencies, ..By::default() }).await?;
        Ok((all, usage::figures(&db, &filter, By { token: true, ..By::default() }).await?))
    });
    let (all, by_token) = read.await?;
    let active: BTreeSet<String> = by_token.iter().map(|(group, _)| asked.people.name(group.token())).collect();
    let total = all.into_iter().next().map(|(_, figures)| figures).unwrap_or_default();
    Ok((total, u64::try_from(active.len()).unwrap_or(u64::MAX)))
}

/// How the servers are that these workspaces use.
fn servers(actors: &Actors, places: &BTreeMap<WorkspaceId, String>) -> ServersUp {
    let catalog = actors.catalog.load();
    let mut phases: BTreeMap<ServerId, (String, Option<Phase>)> = BTreeMap::new();
    for view in places.values().filter_map(|slug| catalog.workspace(slug)) {
        for one in view.installed.iter().filter(|one| one.enabled) {
            let status = actors.upstreams.status(&one.def, actors.vault.scope(view.id, one.def.id));
            let phase = status.map(|status| status.phase);
            let (_, known) = phases.entry(one.def.id).or_insert((one.def.slug.to_string(), phase));
            // With one set of credentials it may work, with another not: then it does not.
            if phase == Some(Phase::Failed) || known.is_none() {
                *known = phase;
            }
        }
    }
    let mut up = ServersUp::default();
    for (slug, phase) in phases.into_values() {
        match phase {
            Some(Phase::Connected) => up.up += 1,
            Some(Phase::Failed) => {
                up.down += 1;
                up.names_down.push(slug);
            }
            Some(Phase::Connecting | Phase::Idle) | None => up.idle += 1,
        }
    }
    up.names_down.sort();
    up
}

fn expiring(actors: &Actors, asked: &Asked, now: Timestamp) -> Vec<ExpiringToken> {
    let until = now + TimeDelta::days(i64::from(actors.config.limits.token_expiry_warning_days));
    let active = asked.people.tokens().filter(|token| token.is_active(now));
    // What was made for an hour (a demo's token, that of the playground) needs nobody when the hour is over.
    let lasting =
        active.filter(|token| token.expires_at.is_some_and(|end| end - token.created_at > TimeDelta::hours(1)));
    let soon = lasting.filter_map(|token| Some((token, token.expires_at.filter(|end| *end <= until)?)));
    let mut expiring: Vec<ExpiringToken> = soon
        .map(|(token, expires_at)| ExpiringToken {
            workspace: asked.place(token.workspace),
            token: token.id.to_string(),
            user: token.name.clone(),
            expires_at,
        })
        .collect();
    expiring.sort_by(|a, b| a.expires_at.cmp(&b.expires_at).then_with(|| a.token.cmp(&b.token)));
    expiring
}

/// The tokens among `people` that behave unlike themselves, most calls first. See [`crate::domain::unusual`].
pub async fn unusual(
    actors: &Actors,
    places: &BTreeMap<WorkspaceId, String>,
    people: &People,
) -> Result<Vec<UnusualToken>> {
    let now = clock::now();
    let settings = &actors.config.analytics;
    let rule = Thresholds {
        calls: settings.unusual_calls,
        times: settings.unusual_times,
        new_calls: settings.unusual_new_calls,
    };
    // Whole hours, the one that is not over included.
    let last = Span::holding(now - TimeDelta::hours(23), now, now);
    let first_day = Timestamp::from_timestamp_micros(last.from_us().div_euclid(DAY_US) * DAY_US).unwrap_or_default();
    let before = Span::holding(first_day - TimeDelta::days(DAYS), first_day, now);
    let tokens: Option<Vec<TokenId>> = people.chosen(None)?;
    let which = Which { workspaces: places.keys().copied().collect(), tokens, ..Which::default() };
    let read = actors.store.analytics(move |db| async move {
        let by = By { token: true, ..By::default() };
        let lately = usage::figures(&db, &UsageFilter { which: which.clone(), span: last }, by).await?;
        let mut busy: Vec<_> = lately.into_iter().filter(|(_, figures)| figures.calls >= rule.calls.max(1)).collect();
        if busy.is_empty() {
            return Ok((busy, Vec::new()));
        }
        busy.sort_by_key(|(_, figures)| std::cmp::Reverse(figures.calls));
        let which = Which { tokens: Some(busy.iter().map(|(group, _)| group.token()).collect()), ..which };
        let days = By { step_us: Some(DAY_US), ..by };
        Ok((busy, usage::figures(&db, &UsageFilter { which, span: before }, days).await?))
    });
    let (busy, days) = read.await?;
    let mut found = Vec::new();
    for (group, figures) in busy {
        let Some(token) = people.tokens().find(|known| known.id == group.token() && known.is_active(now)) else {
            continue;
        };
        let own = days.iter().filter(|(day, _)| day.token() == token.id);
        let habits = Habits {
            last_24_hours: figures.calls,
            busiest_day: own.map(|(_, figures)| figures.calls).max().unwrap_or(0),
            is_new: token.created_at > last.from() - TimeDelta::days(NEW_DAYS),
        };
        if rule.is_unusual(&habits) {
            found.push(UnusualToken {
                workspace: places.get(&token.workspace).cloned().unwrap_or_default(),
                token: token.id.to_string(),
                user: token.name.clone(),
                calls: figures.calls,
                errors: figures.failures(),
                busiest_day: habits.busiest_day,
                is_new: habits.is_new,
                limit: rule.limit(&habits),
                last_call: figures.last_call(),
            });
        }
    }
    Ok(found)
}

/// The namespace at a glance
#[utoipa::path(get, path = "/api/v1/admin/overview", tag = "analytics", params(OverviewQuery),
    responses((status = 200, body = Overview), Problems))]
pub async fn overview_route(admin: web::Data<Admin>, by: Caller, query: Query<OverviewQuery>) -> Reply {
    Ok(HttpResponse::Ok().json(overview(&admin.actors, &by.0, query.0).await?))
}
