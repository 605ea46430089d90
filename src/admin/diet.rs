//! What a workspace's tool list costs an editor, which tools nobody uses, and switching those off in one step.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap, HashSet},
};

use actix_web::{
    HttpResponse,
    web::{self, Path},
};
use chrono::TimeDelta;

use crate::{
    actors::{
        Actors,
        catalog::{Installed, WorkspaceView, also_called},
        workspace_catalog::SetTools,
    },
    admin::{
        Admin,
        auth::Caller,
        discovery,
        dto::{ApplyDiet, Diet, DietApplied, DietServer, DietTool, SwitchedOff, Worth},
        openapi::Problems,
        reply::Reply,
        request::{Json, Nothing, Query},
        workspaces,
    },
    domain::{
        clock::{self, Timestamp},
        ids::{InstallationId, ServerId},
        near,
        role::{Principal, Role},
        span::Span,
        tool_cost, tool_name,
    },
    error::{Result, err},
    store::{
        servers, tool_pins, tool_settings,
        usage::{self, By, Figures, Group, UsageFilter, Which},
        workspaces::WorkspaceRecord,
    },
};

/// Days without a call after which a tool counts as unused.
const DAYS: u32 = 30;

/// Calls of tools, by server and the name they were called by.
type Calls = HashMap<(ServerId, String), Figures>;

/// What is known besides the catalogue.
struct Known {
    calls: Calls,
    /// What names that were called end with, behind whatever prefix they had.
    ends: HashSet<(ServerId, String)>,
    installed: HashMap<InstallationId, Timestamp>,
    /// Tools that were there, under the name that they have now, when the days began.
    there: HashSet<(InstallationId, String)>,
    days: u32,
    since: Timestamp,
    recorded: bool,
}

impl Known {
    async fn of(actors: &Actors, workspace: &WorkspaceRecord) -> Result<Self> {
        let (now, days, id) = (clock::now(), DAYS.min(actors.config.analytics.retention_days), workspace.id);
        let since = now - TimeDelta::days(i64::from(days));
        let read = actors.store.read(move |db| async move {
            let installations = servers::installations(&db, id).await?;
            let ids: Vec<InstallationId> = installations.iter().map(|one| one.id).collect();
            let mut there: HashSet<_> = tool_pins::known_at(&db, &ids, since).await?.into_iter().collect();
            for renamed in tool_settings::renamed_after(&db, id, since).await? {
                there.remove(&renamed);
            }
            Ok((installations, there))
        });
        let (installations, there) = read.await?;
        let filter = UsageFilter { which: Which::in_workspace(id), span: Span::holding(since, now, now) };
        let by = By { server: true, tool: true, ..By::default() };
        let counted = actors.store.analytics(move |db| async move { usage::figures(&db, &filter, by).await }).await?;
        Ok(Known {
            ends: counted.iter().flat_map(|(group, _)| ends(group)).collect(),
            there,
            calls: counted.into_iter().map(|(group, figures)| ((group.server(), group.tool), figures)).collect(),
            installed: installations.into_iter().map(|one| (one.id, one.created_at)).collect(),
            days,
            since,
            recorded: actors.analytics.is_enabled(),
        })
    }

    fn calls<'n>(&self, server: ServerId, names: impl Iterator<Item = &'n str>) -> Figures {
        let mut sum = Figures::default();
        for name in names {
            if let Some(figures) = self.calls.get(&(server, name.to_owned())) {
                sum.merge(figures);
            }
        }
        sum
    }

    /// Whether an installation's tool, by its server's name of it, is worth it with so many calls.
    fn worth(&self, one: &Installed, tool: &str, calls: u64) -> Worth {
        let old = self.installed.get(&one.id).is_some_and(|installed| *installed <= self.since)
            && self.there.contains(&(one.id, tool.to_owned()))
            && !self.ends.contains(&(one.def.id, tool.to_owned()));
        match (calls > 0, old && self.recorded) {
            (true, _) => Worth::Used,
            (false, true) => Worth::Unused,
            (false, false) => Worth::TooNew,
        }
    }
}

/// What a name ends with, it itself included: behind one of its separators is the server's own name of the tool.
fn ends(group: &Group) -> impl Iterator<Item = (ServerId, String)> {
    let (server, name) = (group.server(), group.tool.as_str());
    let behind = name.match_indices(tool_name::SEPARATOR);
    let behind = behind.filter_map(move |(at, between)| name.get(at + between.len()..));
    behind.chain([name]).map(move |end| (server, end.to_owned()))
}

/// What the tool list costs. Calls of everybody count, so it is for administrators.
pub async fn diet(actors: &Actors, by: &Principal, slug: &str) -> Result<Diet> {
    by.require(Role::Admin)?;
    let workspace = workspaces::find(actors, by, slug).await?;
    discovery::discover_for_list(actors, &workspace.slug).await;
    Ok(summed(weighed(actors, &workspace).await?))
}

/// The servers with what their tools cost.
async fn weighed(actors: &Actors, workspace: &WorkspaceRecord) -> Result<(Known, BTreeMap<ServerId, DietServer>)> {
    let known = Known::of(actors, workspace).await?;
    let catalog = actors.catalog.load();
    let mut servers: BTreeMap<ServerId, DietServer> = BTreeMap::new();
    for (one, tool) in catalog.workspace(&workspace.slug).map(|view| tools(view, &known)).unwrap_or_default() {
        let server = one.def.slug.to_string();
        let empty = || DietServer { server, bytes: 0, tokens: 0, unused_tokens: 0, tools: Vec::new() };
        let sum = servers.entry(one.def.id).or_insert_with(empty);
        sum.bytes += tool.bytes;
        sum.tokens += tool.tokens;
        sum.unused_tokens += if tool.worth == Worth::Unused { tool.tokens } else { 0 };
        sum.tools.push(tool);
    }
    Ok((known, servers))
}

fn summed((known, servers): (Known, BTreeMap<ServerId, DietServer>)) -> Diet {
    let mut servers: Vec<DietServer> = servers.into_values().collect();
    servers.sort_by_key(|server| Reverse(server.tokens));
    servers.iter_mut().for_each(|server| server.tools.sort_by_key(|tool| Reverse(tool.tokens)));
    let unused = servers.iter().flat_map(|server| &server.tools).filter(|tool| tool.worth == Worth::Unused).count();
    Diet {
        bytes: servers.iter().map(|server| server.bytes).sum(),
        tokens: servers.iter().map(|server| server.tokens).sum(),
        unused_tokens: servers.iter().map(|server| server.unused_tokens).sum(),
        unused_tools: u64::try_from(unused).unwrap_or(u64::MAX),
        days: known.days,
        estimate: tool_cost::ESTIMATE.to_owned(),
        recorded: known.recorded,
        servers,
    }
}

/// The tools that clients of older revisions are offered (others see nearly the same), with what is known of them.
fn tools<'v>(view: &'v WorkspaceView, known: &Known) -> Vec<(&'v Installed, DietTool)> {
    let mut tools = Vec::new();
    for entry in view.tools.entries() {
        let route = &entry.route;
        let Some(one) = view.installed.iter().find(|one| one.def.id == route.def.id) else { continue };
        let Some(listed) = view.tools.item(entry, false).or_else(|| view.tools.item(entry, true)) else { continue };
        let others = also_called(one, &route.upstream_name);
        let mut names: Vec<&str> = others.iter().map(String::as_str).chain([&*route.exposed]).collect();
        names.sort_unstable();
        names.dedup();
        let figures = known.calls(route.def.id, names.into_iter());
        let tool = DietTool {
            tool: route.upstream_name.to_string(),
            name: route.exposed.to_string(),
            bytes: u64::try_from(listed.len()).unwrap_or(u64::MAX),
            tokens: tool_cost::tokens(&listed),
            calls: figures.calls,
            last_call: figures.last_call(),
            worth: known.worth(one, &route.upstream_name, figures.calls),
        };
        tools.push((one, tool));
    }
    tools
}

/// Switches off what nobody used.
pub async fn apply(actors: &Actors, by: &Principal, slug: &str, input: ApplyDiet) -> Result<DietApplied> {
    by.require(Role::Admin)?;
    let workspace = workspaces::find(actors, by, slug).await?;
    discovery::discover_for_list(actors, &workspace.slug).await;
    let (_, servers) = weighed(actors, &workspace).await?;
    if let Some(wanted) = &input.tools {
        refuse_used(&servers, wanted, slug)?;
    }
    let wanted = |tool: &&DietTool| {
        tool.worth == Worth::Unused && input.tools.as_ref().is_none_or(|wanted| wanted.contains(&tool.name))
    };
    let (mut switched_off, mut saved_tokens) = (Vec::new(), 0);
    for (id, server) in servers {
        let off: Vec<&DietTool> = server.tools.iter().filter(wanted).collect();
        if off.is_empty() {
            continue;
        }
        let tools: Vec<String> = off.iter().map(|tool| tool.tool.clone()).collect();
        let change = SetTools {
            workspace: workspace.id,
            server: id,
            tools: tools.clone(),
            enabled: Some(false),
            alias: None,
            by: by.clone(),
        };
        actors.catalog.apply(change).await?;
        saved_tokens += off.iter().map(|tool| tool.tokens).sum::<u64>();
        switched_off.push(SwitchedOff { server: server.server.clone(), tools });
    }
    Ok(DietApplied { switched_off, saved_tokens, diet: summed(weighed(actors, &workspace).await?) })
}

fn refuse_used(servers: &BTreeMap<ServerId, DietServer>, wanted: &[String], slug: &str) -> Result<()> {
    let offered: Vec<&DietTool> = servers.values().flat_map(|server| &server.tools).collect();
    for name in wanted {
        match offered.iter().find(|tool| tool.name == *name) {
            None => {
                return Err(err::not_found(near::no_such("tool", name, offered.iter().map(|tool| tool.name.as_str())))
                    .with_hint(format!("aerostack mcp diet --workspace {slug}")));
            }
            Some(tool) if tool.worth != Worth::Unused => {
                return Err(err::conflict(format!("{} is not known to be unused", near::shown(name)))
                    .with_hint("PATCH …/servers/{server}/tools switches off any tool"));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// What the tool list costs an editor, and which tools nobody uses
#[utoipa::path(get, path = "/api/v1/admin/workspaces/{slug}/diet", tag = "installations", params(("slug" = String, Path)),
    responses((status = 200, body = Diet), Problems))]
pub async fn diet_route(admin: web::Data<Admin>, by: Caller, slug: Path<String>, _: Query<Nothing>) -> Reply {
    Ok(HttpResponse::Ok().json(diet(&admin.actors, &by.0, &slug).await?))
}

/// Switch off the tools that nobody uses
#[utoipa::path(post, path = "/api/v1/admin/workspaces/{slug}/diet:apply", tag = "installations",
    params(("slug" = String, Path)), request_body = ApplyDiet, responses((status = 200, body = DietApplied), Problems))]
pub async fn apply_route(
    admin: web::Data<Admin>,
    by: Caller,
    slug: Path<String>,
    _: Query<Nothing>,
    body: Json<ApplyDiet>,
) -> Reply {
    Ok(HttpResponse::Ok().json(apply(&admin.actors, &by.0, &slug, body.0).await?))
}
