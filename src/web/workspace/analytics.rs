//! `/workspaces/{slug}/analytics`, and `/analytics` for all workspaces: who calls what, how fast, and what fails. The
//! range and the filters are in the URL; every figure leads to the calls behind it.

use actix_web::{
    http::StatusCode,
    web::{self, Path},
};
use askama::Template;
use chrono::{Days, NaiveDate, TimeDelta};
use futures_util::future::{try_join, try_join_all};
use serde::Deserialize;

use crate::{
    admin::{
        dto::{Figures, Point, Subject, SubjectRow, SubjectTable, VolumeLayer},
        figures::{self, FiguresQuery, TableQuery},
    },
    domain::clock::Timestamp,
    error::Result,
    web::{
        page,
        shell::Shell,
        show::{self, figures::LAYERS},
        visit::{Answer, Visit},
        workspace::{Place, among},
    },
};

/// Rows of a table on the page, unless all are wanted.
const ROWS: usize = 10;
const ALL_ROWS: usize = 500;
/// The ranges that are offered.
const PERIODS: [&str; 5] = ["1h", "24h", "7d", "30d", "90d"];
/// What the volume may be told apart by; the last one only where there are several.
const STACKED: [(&str, &str); 4] =
    [("user", "User"), ("tool", "Tool"), ("server", "Server"), ("workspace", "Workspace")];
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// What is looked at.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Look {
    period: String,
    /// Instead of a period: the first day, or the first moment.
    from: String,
    /// The last day, or the moment after the last.
    to: String,
    /// One of all workspaces.
    workspace: String,
    user: String,
    server: String,
    tool: String,
    /// What the layers of the volume are: `user`, `tool`, `server` or `workspace`.
    by: String,
    /// `all`: every row of the tables.
    rows: String,
}

fn given(text: &str) -> Option<String> {
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// As it is written in a query.
fn exact(at: Timestamp) -> String {
    at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

impl Look {
    fn subject(&self) -> Subject {
        match self.by.as_str() {
            "tool" => Subject::Tool,
            "server" => Subject::Server,
            "workspace" => Subject::Workspace,
            _ => Subject::User,
        }
    }
    /// The period, unless a stretch of time was chosen.
    fn period(&self) -> Option<String> {
        match given(&self.from) {
            Some(_) => None,
            None => Some(given(&self.period).unwrap_or_else(|| "7d".into())),
        }
    }
    /// The end of a chosen stretch: a day is looked at to its end.
    fn until(&self) -> Option<String> {
        given(&self.from)?;
        let to = given(&self.to)?;
        let next = to.parse::<NaiveDate>().ok().and_then(|day| day.checked_add_days(Days::new(1)));
        Some(next.map_or(to, |day| day.to_string()))
    }
    fn figures(&self) -> FiguresQuery {
        FiguresQuery {
            period: self.period(),
            from: given(&self.from),
            to: self.until(),
            user: given(&self.user),
            server: given(&self.server),
            tool: given(&self.tool),
            by: self.subject(),
            top: Some(LAYERS),
            ..FiguresQuery::default()
        }
    }
    fn table(&self, by: Subject) -> TableQuery {
        let all = self.figures();
        TableQuery {
            period: all.period,
            from: all.from,
            to: all.to,
            user: all.user,
            server: all.server,
            tool: all.tool,
            by,
            limit: Some(if self.rows == "all" { ALL_ROWS } else { ROWS }),
            ..TableQuery::default()
        }
    }
    /// The filters that are set.
    fn filters(&self) -> Vec<(&'static str, &str)> {
        let all = [
            ("workspace", self.workspace.as_str()),
            ("user", &self.user),
            ("server", &self.server),
            ("tool", &self.tool),
        ];
        all.into_iter().filter(|(_, value)| !value.is_empty()).collect()
    }
    /// The page's query with some of it changed.
    fn query(&self, changes: &[(&str, &str)]) -> String {
        let now = [
            ("period", &self.period),
            ("from", &self.from),
            ("to", &self.to),
            ("workspace", &self.workspace),
            ("user", &self.user),
            ("server", &self.server),
            ("tool", &self.tool),
            ("by", &self.by),
            ("rows", &self.rows),
        ];
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in now {
            let value = changes.iter().find(|(changed, _)| *changed == name).map_or(value.as_str(), |(_, to)| *to);
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        query.finish()
    }
}

#[derive(Template)]
#[template(path = "workspace/analytics.html")]
struct Page {
    shell: Shell,
    place: Place,
    look: Look,
    figures: Figures,
    tables: Vec<SubjectTable>,
    recorded: bool,
}

impl Page {
    fn link(&self, changes: &[(&str, &str)]) -> String {
        format!("{}/analytics?{}", self.place.base(), self.look.query(changes))
    }
    fn period_link(&self, period: &str) -> String {
        self.link(&[("period", period), ("from", ""), ("to", "")])
    }
    fn is_on(&self, period: &str) -> bool {
        self.look.period().as_deref() == Some(period)
    }
    fn is_by(&self, by: &str) -> bool {
        self.figures.by.as_str() == by
    }
    fn stacked(&self) -> &'static [(&'static str, &'static str)] {
        let [of_one @ .., _] = &STACKED;
        if self.place.is_everywhere() { &STACKED } else { of_one }
    }
    fn by_link(&self, by: &str) -> String {
        self.link(&[("by", by)])
    }
    fn all_link(&self) -> String {
        self.link(&[("rows", "all")])
    }
    fn without(&self, name: &str) -> String {
        self.link(&[(name, "")])
    }
    fn filters(&self) -> Vec<(&'static str, &str)> {
        self.look.filters()
    }
    /// What choosing another stretch of time keeps.
    fn kept(&self) -> Vec<(&'static str, &str)> {
        let by = Some(("by", self.look.by.as_str())).filter(|(_, by)| !by.is_empty());
        self.look.filters().into_iter().chain(by).collect()
    }
    fn first_day(&self) -> String {
        self.figures.from.date_naive().to_string()
    }
    fn last_day(&self) -> String {
        (self.figures.to - TimeDelta::seconds(1)).min(self.shell.now).date_naive().to_string()
    }

    /// The calls behind a figure: the filters and one more, a stretch of time, only those that failed?
    fn calls(&self, more: Option<(&str, &str)>, (from, to): (Timestamp, Timestamp), failed: bool) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in self.look.filters() {
            if more.is_none_or(|(more, _)| more != name) {
                query.append_pair(name, value);
            }
        }
        if let Some((name, value)) = more {
            query.append_pair(name, value);
        }
        query.append_pair("from", &exact(from));
        if to < self.shell.now {
            query.append_pair("to", &exact(to));
        }
        if failed {
            query.append_pair("show", "failed");
        }
        format!("{}/calls?{}", self.place.base(), show::figures::brief(&query.finish()))
    }
    fn range(&self) -> (Timestamp, Timestamp) {
        (self.figures.from, self.figures.to)
    }
    fn all_calls(&self) -> String {
        self.calls(None, self.range(), false)
    }
    fn all_failed(&self) -> String {
        self.calls(None, self.range(), true)
    }
    /// The calls of a cell of the heat map.
    fn cell_link(&self, day: &str, hour: &usize) -> String {
        format!("{}&weekday={}&hour={hour}", self.all_calls(), day.to_lowercase())
    }
    fn calls_of(&self, table: &SubjectTable, row: &SubjectRow) -> String {
        self.calls(Some((table.by.as_str(), &row.name)), self.range(), false)
    }
    fn failed_of(&self, table: &SubjectTable, row: &SubjectRow) -> String {
        self.calls(Some((table.by.as_str(), &row.name)), self.range(), true)
    }
    fn step(&self, point: &Point) -> (Timestamp, Timestamp) {
        let seconds = i64::try_from(self.figures.step_seconds).unwrap_or_default();
        (point.at, point.at + TimeDelta::seconds(seconds))
    }
    fn step_link(&self, point: &Point) -> String {
        self.calls(None, self.step(point), false)
    }
    fn step_failed(&self, point: &Point) -> String {
        self.calls(None, self.step(point), true)
    }

    fn csv(&self) -> String {
        self.file("figures", "", &self.look)
    }
    fn table_csv(&self, table: &SubjectTable) -> String {
        self.file("table", "&limit=1000", &Look { by: table.by.as_str().to_owned(), ..self.look.clone() })
    }
    /// Where the same figures are as a file.
    fn file(&self, what: &str, more: &str, look: &Look) -> String {
        let (period, until) = (look.period().unwrap_or_default(), look.until().unwrap_or_default());
        let query = look.query(&[("period", &period), ("to", &until), ("rows", "")]);
        let (base, namespace) = (self.place.base(), show::part(&self.shell.namespace));
        format!("/api/v1/admin{base}/analytics/{what}?format=csv&namespace={namespace}{more}&{query}")
    }

    fn steps(&self) -> String {
        match self.figures.step_seconds {
            60 => "steps of a minute".into(),
            step @ 0..3600 => format!("steps of {} minutes", step / 60),
            3600 => "steps of an hour".into(),
            step @ 3601..86_400 => format!("steps of {} hours", step / 3600),
            _ => "steps of a day".into(),
        }
    }
    fn layer_calls(&self, layer: &VolumeLayer, nth: &usize) -> u64 {
        layer.calls.get(*nth).copied().unwrap_or(0)
    }
    fn percentiles(&self, point: &Point) -> [Option<u64>; 3] {
        [point.sums.p50_us, point.sums.p95_us, point.sums.p99_us]
    }
    /// When most of the calls failed.
    fn peak(&self) -> Option<String> {
        let failed = self.figures.points.iter().filter(|point| point.sums.errors > 0);
        let worst = failed.max_by(|a, b| a.sums.error_rate.total_cmp(&b.sums.error_rate))?;
        let share = show::percent(worst.sums.errors, worst.sums.calls);
        Some(format!("peak {share} % {}", worst.at.format("%a %H:%M")))
    }
    fn week(&self) -> impl Iterator<Item = (&'static str, &[u64; 24])> {
        DAYS.into_iter().zip(&self.figures.heat)
    }
    /// How warm an hour with calls is, 1 to 6.
    fn warmth(&self, calls: &u64) -> u64 {
        let most = self.figures.heat.iter().flatten().copied().max().unwrap_or(0);
        1 + calls.saturating_mul(5) / most.max(1)
    }

    fn head(&self, table: &SubjectTable) -> &'static str {
        STACKED.iter().find(|(by, _)| *by == table.by.as_str()).map_or("", |(_, word)| word)
    }
    fn is_user(&self, table: &SubjectTable) -> bool {
        table.by == Subject::User
    }
    fn is_stacked(&self, table: &SubjectTable) -> bool {
        table.by == self.figures.by
    }
    /// Which colour a row has in the volume.
    fn tint(&self, table: &SubjectTable, row: &SubjectRow) -> usize {
        if !self.is_stacked(table) {
            return 0;
        }
        let layer = |layer: &VolumeLayer| layer.name.as_deref() == Some(&row.name);
        self.figures.layers.iter().position(layer).unwrap_or(LAYERS).min(LAYERS)
    }
    fn most(&self, table: &SubjectTable) -> u64 {
        table.data.iter().map(|row| row.sums.calls).max().unwrap_or(0)
    }
    /// How many rows the page does not show.
    fn hidden(&self, table: &SubjectTable) -> u64 {
        table.rows.saturating_sub(u64::try_from(table.data.len()).unwrap_or(u64::MAX))
    }
}

async fn build(visit: &Visit, slug: Option<&str>, look: Look) -> Result<Page> {
    let (shell, place) = among(visit, slug, "Analytics").await?;
    let (actors, by) = (visit.actors(), &visit.by);
    let within = slug.or(Some(look.workspace.as_str()).filter(|chosen| !chosen.is_empty()));
    let subjects = [Subject::Workspace, Subject::User, Subject::Tool, Subject::Server];
    let shown = subjects.into_iter().filter(|subject| *subject != Subject::Workspace || slug.is_none());
    let (wanted, rows) = (look.figures(), shown.map(|subject| look.table(subject)).collect::<Vec<_>>());
    let tables = try_join_all(rows.iter().map(|rows| figures::table(actors, by, within, rows)));
    let (figures, tables) = try_join(figures::figures(actors, by, within, &wanted), tables).await?;
    let recorded = actors.analytics.is_enabled();
    Ok(Page { shell, place, look, figures, tables, recorded })
}

/// Shows it for one workspace.
pub async fn show(visit: Visit, slug: Path<String>, look: web::Query<Look>) -> Answer {
    let look = Look { workspace: String::new(), ..look.into_inner() };
    Ok(page(StatusCode::OK, &build(&visit, Some(&slug), look).await?))
}

/// Shows it for all workspaces together.
pub async fn everywhere(visit: Visit, look: web::Query<Look>) -> Answer {
    Ok(page(StatusCode::OK, &build(&visit, None, look.into_inner()).await?))
}
