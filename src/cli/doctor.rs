//! `doctor`: what is wrong, on this machine and at the gateway, and what to do about each thing. Ends with 1 if something
//! does not work; warnings do not count.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use serde::Serialize;
use serde_json::Map;

use super::{
    Ask, Question, Target,
    connect::{self, MESSAGE_MIB},
    doctor_bundle, doctor_editors,
    failure::{Failure, Outcome},
    output::Terminal,
    ping,
    session::{OWN_VERSION, Session, parse_url, same_origin},
    text,
};
use crate::{
    admin::dto::{Check, CheckState, CheckUp, Page, Workspace},
    domain::{clients::TOKEN_VARIABLE, clock},
};

/// Runnable examples of `doctor`.
pub const EXAMPLES: &str = "Examples:
  aerostack doctor
  aerostack doctor -o json
  aerostack doctor --bundle support.json

Exit status: 0 all works (warnings are shown), 1 something does not";

/// What `doctor` takes.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Also write a file to send to whoever helps: what was found, versions, actors, servers; no secret of any kind
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
}

/// Events must arrive within this time of being sent.
const AT_ONCE: Duration = Duration::from_secs(1);
/// Seconds that clocks may differ before tokens expire at the wrong time.
const FAR_APART: i64 = 300;

/// Something that was looked at, and where.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// `here` or `gateway`.
    place: &'static str,
    #[serde(flatten)]
    check: Check,
}

/// Runs `doctor`.
pub fn run(session: &mut Session, terminal: &mut Terminal, args: &DoctorArgs, ask: Ask) -> Outcome {
    let mut here = vec![files(session)];
    let wanted = args.bundle.is_some();
    let (gateway, theirs, said) = actix_web::rt::System::new().block_on(async {
        let (here, theirs) = gateway(session).await;
        (here, theirs, if wanted { doctor_bundle::ask(session).await } else { Map::new() })
    });
    here.extend(gateway);
    here.extend(workspaces(session, ask));
    here.extend(doctor_editors::look(session, ask));
    let at = |place| move |check| Finding { place, check };
    let all: Vec<Finding> = here.into_iter().map(at("here")).chain(theirs.into_iter().map(at("gateway"))).collect();
    if let Some(file) = &args.bundle {
        doctor_bundle::write(session, terminal, file, (&all, &said))?;
    }
    show(terminal, &all)
}

fn show(terminal: &mut Terminal, all: &[Finding]) -> Outcome {
    if terminal.wants_json() {
        terminal.json(all)?;
    } else {
        for place in ["here", "gateway"] {
            let of_place: Vec<_> = all.iter().filter(|finding| finding.place == place).collect();
            if !of_place.is_empty() {
                terminal.footer(if place == "here" { "On this machine" } else { "At the gateway" })?;
            }
            for Finding { check, .. } in of_place {
                terminal.check(check.state, &format!("{}: {}", check.about, check.found), check.fix.as_deref())?;
            }
        }
    }
    let count = |state| u64::try_from(all.iter().filter(|one| one.check.state == state).count()).unwrap_or(u64::MAX);
    let (failed, warned) = (count(CheckState::Fail), count(CheckState::Warn));
    if failed > 0 {
        let verb = if failed == 1 { "does" } else { "do" };
        return Err(Failure::local(format!("{} {verb} not work", text::counted(failed, "thing"))));
    }
    match warned {
        0 => terminal.footer("All is well."),
        _ => terminal.footer(&format!("All works; {} to look at.", text::counted(warned, "thing"))),
    }
}

/// Can this user's files be read, and by nobody else?
fn files(session: &Session) -> Check {
    const ABOUT: &str = "saved gateways";
    let found = session.store.saved_tokens().and_then(|_| match session.profile_name() {
        Some(name) => session.store.api_key(name).map(|key| (Some(name), key.is_some())),
        None => Ok((None, false)),
    });
    match found {
        Ok((Some(name), true)) => Check::ok(ABOUT, format!("profile \"{name}\", its key readable by you alone")),
        Ok((Some(name), false)) => Check::warn(ABOUT, format!("profile \"{name}\" has no key"), "aerostack login"),
        Ok((None, _)) => Check::warn(ABOUT, "none is chosen", "aerostack login --url URL"),
        Err(failure) => of_failure(ABOUT, &failure),
    }
}

/// A failure as a finding: what is hinted at is what to do.
pub fn of_failure(about: &str, failure: &Failure) -> Check {
    let fix = failure.details().iter().find_map(|line| line.strip_prefix("hint: ").map(str::to_owned));
    Check::fail(about, failure.headline(), fix.unwrap_or_else(|| "aerostack help".into()))
}

/// What can be seen of the gateway from here, and what it says of itself.
async fn gateway(session: &mut Session) -> (Vec<Check>, Vec<Check>) {
    let pong = match ping::ask(session).await {
        Ok(pong) => pong,
        Err(failure) => return (vec![of_failure("gateway", &failure)], Vec::new()),
    };
    let who = &pong.who;
    let mut here = vec![
        Check::ok("gateway", format!("{} answers in {} ms", pong.url, pong.answered_in_ms)),
        encryption(session),
        Check::ok("API key", format!("of {}, {} in @{}", who.label, who.role, who.namespace)),
        clocks(pong.clock_skew_seconds),
        match pong.versions_fit {
            true => Check::ok("versions", format!("{OWN_VERSION} here, {} there", pong.version)),
            false => Check::warn(
                "versions",
                format!("{OWN_VERSION} here, {} there", pong.version),
                format!("install aerostack {}", pong.version),
            ),
        },
    ];
    if same_origin(&who.public_url, session.url()) {
        here.extend(events(session).await);
    }
    let theirs = match session.client() {
        Ok(client) => client.get::<CheckUp>(&["doctor"], vec![]).await,
        Err(failure) => Err(failure),
    };
    match theirs {
        Ok(theirs) => (here, theirs.data),
        // Who may not administer has nothing to put right there.
        Err(failure) if failure.status() == Some(403) => (here, Vec::new()),
        Err(failure) => {
            here.push(of_failure("check-up", &failure));
            (here, Vec::new())
        }
    }
}

fn encryption(session: &Session) -> Check {
    const ABOUT: &str = "encryption";
    if connect::is_in_clear(session.url()) {
        return Check::warn(
            ABOUT,
            "none: keys cross the network in clear",
            "log in by its https URL: aerostack login --url https://…",
        );
    }
    let found = if session.url().scheme() == "https" {
        "TLS, with a certificate that is trusted"
    } else {
        "none is needed on this machine"
    };
    Check::ok(ABOUT, found)
}

fn clocks(skew: Option<i64>) -> Check {
    const ABOUT: &str = "clocks";
    let fix = "set the clocks of both machines by NTP";
    match skew {
        None => Check::warn(ABOUT, "the gateway does not say its time", "look whether a proxy removes the header Date"),
        Some(skew) if skew.abs() > FAR_APART => {
            Check::fail(ABOUT, format!("{} s apart: tokens expire at the wrong time", skew.abs()), fix)
        }
        Some(skew) if skew.abs() > ping::SKEW => Check::warn(ABOUT, format!("{} s apart", skew.abs()), fix),
        Some(skew) => Check::ok(ABOUT, format!("{} s apart", skew.abs())),
    }
}

/// Whether events arrive when they are sent: a proxy that gathers them breaks every stream.
async fn events(session: &mut Session) -> Option<Check> {
    const ABOUT: &str = "streams";
    let client = session.client().ok()?;
    let page: Page<Workspace> = client.get(&["workspaces"], vec![("limit", "1".into())]).await.ok()?;
    let slug = page.data.first()?.slug.clone();
    let began = clock::instant();
    let opened = async {
        let mut events = client.events(&["workspaces", &slug, "calls", "stream"], vec![]).await?;
        events.first_bytes().await
    };
    Some(match actix_web::rt::time::timeout(AT_ONCE, opened).await {
        Ok(Ok(())) => Check::ok(ABOUT, format!("events arrive at once ({} ms)", began.elapsed().as_millis())),
        Ok(Err(failure)) => of_failure(ABOUT, &failure),
        Err(_elapsed) => Check::fail(
            ABOUT,
            format!("no event arrived within {} s: something in between gathers them", AT_ONCE.as_secs()),
            "switch the proxy's buffering off (nginx: proxy_buffering off)",
        ),
    })
}

/// One real list of tools for each workspace that this user has a token of.
fn workspaces(session: &Session, ask: Ask) -> Vec<Check> {
    let mut known: Vec<_> = session.store.saved_tokens().unwrap_or_default().into_iter().collect();
    if let (Ok(url), Ok(Some(token))) = (connect::url_of_workspace(session, None), connect::token_given(None)) {
        known.push((url.to_string(), token));
    }
    let url_of = |text: &str| parse_url(text).ok().filter(|url| url.origin() == session.url().origin());
    let known = known.into_iter().filter_map(|(url, token)| Some((url_of(&url)?, token)));
    let targets = known.map(|(url, token)| Target { url, token, message_bytes: MESSAGE_MIB << 20 });
    targets.map(|target| tools(&target, ask, "saved for its URL, or in AEROSTACK_TOKEN")).collect()
}

/// Whether a token works at a gateway URL; `source` says where it was found.
pub fn tools(target: &Target, ask: Ask, source: &str) -> Check {
    #[derive(serde::Deserialize)]
    struct Listed {
        tools: Vec<serde::de::IgnoredAny>,
    }
    let about = format!("token for {}", target.url);
    let began = clock::instant();
    let question = Question { method: "tools/list", params: serde_json::Map::new(), schema: None };
    let answer = ask(target, &question).map_err(Failure::from);
    match answer.as_ref().map(|result| serde_json::from_str::<Listed>(result.get())) {
        Ok(Ok(listed)) => {
            let count = text::counted(u64::try_from(listed.tools.len()).unwrap_or(u64::MAX), "tool");
            Check::ok(&about, format!("{count} in {} ms ({source})", began.elapsed().as_millis()))
        }
        Ok(Err(_their_text)) => {
            Check::fail(&about, "its tools cannot be read", "check the URL: aerostack connect --print cursor")
        }
        Err(failure) => Check::fail(
            &about,
            format!("{} ({source})", failure.headline()),
            format!(
                "a new token: aerostack workspace token create NAME; then {TOKEN_VARIABLE}=… aerostack connect --save-token {}",
                target.url
            ),
        ),
    }
}
