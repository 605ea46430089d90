//! `/workspaces/{slug}/analytics`: who calls what, how fast, and what fails. The range and the filters are in the URL;
//! every figure leads to the calls behind it.

use actix_web::{
    http::StatusCode,
    web::{self, Path},
};
use askama::Template;
use serde::Deserialize;

use crate::{
    admin::{
        dto::{Figures, Subject, SubjectTable, Sums},
        figures::{self, FiguresQuery, TableQuery},
    },
    error::Result,
    web::{
        page,
        shell::Shell,
        show,
        visit::{Answer, Visit},
        workspace::{Place, around},
    },
};

/// Rows of a table on the page.
const ROWS: usize = 12;
/// Layers of the volume besides that of all others: as many as there are colours.
const LAYERS: usize = 5;
/// The ranges that are offered.
const PERIODS: [&str; 5] = ["1h", "24h", "7d", "30d", "90d"];
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// What is looked at.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Look {
    period: String,
    from: String,
    to: String,
    user: String,
    server: String,
    tool: String,
    /// What the layers of the volume are: `user`, `tool` or `server`.
    by: String,
}

fn given(text: &str) -> Option<String> {
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

impl Look {
    fn subject(&self) -> Subject {
        match self.by.as_str() {
            "tool" => Subject::Tool,
            "server" => Subject::Server,
            _ => Subject::User,
        }
    }
    /// The period, unless a stretch of time was chosen.
    fn period(&self) -> Option<String> {
        if self.from.is_empty() { Some(given(&self.period).unwrap_or_else(|| "7d".into())) } else { None }
    }
    fn figures(&self) -> FiguresQuery {
        FiguresQuery {
            period: self.period(),
            from: given(&self.from),
            to: given(&self.to),
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
            limit: Some(ROWS),
            ..TableQuery::default()
        }
    }
    /// The query with some of it changed.
    fn query(&self, changes: &[(&str, &str)]) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let now = [
            ("period", &self.period),
            ("from", &self.from),
            ("to", &self.to),
            ("user", &self.user),
            ("server", &self.server),
            ("tool", &self.tool),
            ("by", &self.by),
        ];
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
    users: SubjectTable,
    tools: SubjectTable,
    most: u64,
}

impl Page {
    fn link(&self, changes: &[(&str, &str)]) -> String {
        format!("/workspaces/{}/analytics?{}", self.place.slug, self.look.query(changes))
    }
    fn period_link(&self, period: &str) -> String {
        self.link(&[("period", period), ("from", ""), ("to", "")])
    }
    fn by_link(&self, by: &str) -> String {
        self.link(&[("by", by)])
    }
    fn without(&self, name: &str) -> String {
        self.link(&[(name, "")])
    }
    /// The calls behind a figure.
    fn calls(&self, changes: &[(&str, &str)], failed: bool) -> String {
        let since = self.figures.from.format("%Y-%m-%dT%H:%M:%SZ").to_string();
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in [("user", &self.look.user), ("server", &self.look.server), ("tool", &self.look.tool)] {
            let value = changes.iter().find(|(changed, _)| *changed == name).map_or(value.as_str(), |(_, to)| *to);
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        query.append_pair("since", &since);
        if failed {
            query.append_pair("show", "failed");
        }
        format!("/workspaces/{}/calls?{}", self.place.slug, query.finish())
    }
    fn calls_of(&self, name: &str, value: &str) -> String {
        self.calls(&[(name, value)], false)
    }
    fn failed_of(&self, name: &str, value: &str) -> String {
        self.calls(&[(name, value)], true)
    }
    fn all_calls(&self) -> String {
        self.calls(&[], false)
    }
    fn all_failed(&self) -> String {
        self.calls(&[], true)
    }
    fn csv(&self) -> String {
        let query = self.look.query(&[("period", &self.look.period().unwrap_or_default())]);
        format!(
            "/api/v1/admin/workspaces/{}/figures?format=csv&namespace={}&{query}",
            self.place.slug,
            show::part(&self.shell.namespace)
        )
    }
    fn is_on(&self, period: &str) -> bool {
        self.look.period().as_deref() == Some(period)
    }
    fn steps(&self) -> String {
        match self.figures.step_seconds {
            step @ 0..3600 => format!("{}-minute steps", step / 60),
            3600 => "hourly".into(),
            step @ 3601..86_400 => format!("{}-hour steps", step / 3600),
            _ => "daily".into(),
        }
    }
    fn filters(&self) -> Vec<(&'static str, &str)> {
        let all = [("user", self.look.user.as_str()), ("server", &self.look.server), ("tool", &self.look.tool)];
        all.into_iter().filter(|(_, value)| !value.is_empty()).collect()
    }
    fn weekday(&self, at: &usize) -> &'static str {
        DAYS.get(*at).copied().unwrap_or_default()
    }
    /// How warm an hour is, 0 to 6.
    fn heat(&self, calls: u64) -> u64 {
        if calls == 0 { 0 } else { 1 + calls.saturating_mul(5) / self.most.max(1) }
    }
    /// The length of a bar of 84.
    fn share(&self, calls: u64, table: &SubjectTable) -> u64 {
        let most = table.data.iter().map(|row| row.sums.calls).max().unwrap_or(0).max(1);
        (calls.saturating_mul(84) / most).max(u64::from(calls > 0))
    }
    /// Which colour a name has in the volume.
    fn tint(&self, name: &str) -> usize {
        self.figures.layers.iter().position(|layer| layer.name.as_deref() == Some(name)).unwrap_or(LAYERS).min(LAYERS)
    }
}

/// A latency, or that there was no call.
fn latency(us: Option<u64>) -> String {
    us.map_or_else(|| r#"<span class="dim">–</span>"#.into(), show::duration)
}

/// A latency as a key figure.
fn large(us: Option<u64>) -> String {
    match us.map(show::duration_parts) {
        Some((figure, unit)) => format!("{figure}<small>{unit}</small>"),
        None => "–".into(),
    }
}

fn plain(us: Option<u64>) -> String {
    us.map(|us| us.to_string()).unwrap_or_default()
}

/// The share of failed calls, as a number for the chart.
fn rate(sums: &Sums) -> String {
    if sums.calls == 0 { String::new() } else { format!("{:.5}", sums.error_rate) }
}

async fn build(visit: &Visit, slug: &str, look: Look) -> Result<Page> {
    let (shell, place) = around(visit, slug, "Analytics").await?;
    let figures = figures::figures(visit.actors(), &visit.by, Some(slug), &look.figures()).await?;
    let users = figures::table(visit.actors(), &visit.by, Some(slug), &look.table(Subject::User)).await?;
    let tools = figures::table(visit.actors(), &visit.by, Some(slug), &look.table(Subject::Tool)).await?;
    let most = figures.heat.iter().flatten().copied().max().unwrap_or(0);
    Ok(Page { shell, place, look, figures, users, tools, most })
}

/// Shows it.
pub async fn show(visit: Visit, slug: Path<String>, look: web::Query<Look>) -> Answer {
    Ok(page(StatusCode::OK, &build(&visit, &slug, look.into_inner()).await?))
}
