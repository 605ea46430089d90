//! `/team`: who is in the namespace, who is invited, with which role; and what somebody who leaves could reach.

use actix_web::{http::StatusCode, web};
use askama::Template;
use serde::Deserialize;

use crate::{
    admin::{
        dto::{InviteCreated, InviteMember, LeavingReceipt, MailState, MemberStatus, TeamMember, UpdateMember},
        invites, leaving, team,
    },
    domain::role::Role,
    error::Result,
    web::{
        page,
        shell::{Noun, Shell, Toast, said},
        show, status_of,
        visit::{Answer, Visit},
        workspace::everything,
    },
};

/// What is looked at.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Look {
    /// The form for an invitation is open.
    invite: Option<String>,
    /// The workspace that an invitation is to give a token for.
    workspace: String,
    /// The member that is asked about: remove them?
    remove: String,
}

/// The forms of the page.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Form {
    #[serde(rename = "do")]
    act: String,
    member: String,
    invite: String,
    email: String,
    role: String,
    workspace: String,
}

#[derive(Template)]
#[template(path = "team.html")]
struct Page {
    shell: Shell,
    look: Look,
    members: Vec<TeamMember>,
    workspaces: Vec<String>,
    form: Form,
    problem: String,
    made: Option<InviteCreated>,
    receipt: Option<LeavingReceipt>,
}

/// What a form led to.
#[derive(Default)]
struct Done {
    toast: Option<Toast>,
    made: Option<InviteCreated>,
    receipt: Option<LeavingReceipt>,
}

impl Page {
    /// The roles that who looks may give.
    fn roles(&self) -> Vec<&'static str> {
        let all = [Role::Viewer, Role::Member, Role::Admin, Role::Owner];
        all.into_iter().filter(|role| *role <= self.shell.role).map(Role::as_str).collect()
    }
    /// Whether who looks may change this member.
    fn may_change(&self, one: &TeamMember) -> bool {
        self.shell.admin() && one.role.parse::<Role>().is_ok_and(|role| role <= self.shell.role)
    }
    fn is_me(&self, one: &TeamMember) -> bool {
        one.username.as_deref() == Some(self.shell.username.as_str())
    }
    fn pending(&self, one: &TeamMember) -> bool {
        one.status == MemberStatus::Pending
    }
    /// How the use cases name somebody.
    fn named<'a>(&self, one: &'a TeamMember) -> &'a str {
        one.username.as_deref().unwrap_or(&one.member)
    }
}

async fn build(visit: &Visit, look: Look) -> Result<Page> {
    let shell = visit.shell(Noun::Team, "", "Team").await?;
    let members = team::list(visit.actors(), &visit.by, &everything()).await?.data;
    let mut workspaces = Vec::new();
    if visit.administers() {
        let listed = crate::admin::workspaces::list(visit.actors(), &visit.by, &everything()).await?.data;
        workspaces = listed.into_iter().map(|one| one.slug).collect();
    }
    let form = Form { role: Role::Member.as_str().into(), workspace: look.workspace.clone(), ..Form::default() };
    Ok(Page { shell, look, members, workspaces, form, problem: String::new(), made: None, receipt: None })
}

/// Shows them.
pub async fn show(visit: Visit, look: web::Query<Look>) -> Answer {
    Ok(page(StatusCode::OK, &build(&visit, look.into_inner()).await?))
}

async fn change(visit: &Visit, form: &Form) -> Result<Done> {
    let (actors, by) = (visit.actors(), &visit.by);
    let invited = |made: InviteCreated| match made.mail {
        MailState::Sent => {
            Done { toast: Some(Toast::done(format!("Invitation sent to {}.", made.email))), ..Done::default() }
        }
        _ => Done { made: Some(made), ..Done::default() },
    };
    Ok(match form.act.as_str() {
        "role" => {
            let changed = team::update(actors, by, &form.member, UpdateMember { role: form.role.clone() }).await?;
            Done { toast: Some(Toast::done(format!("{} is {} now.", changed.member, changed.role))), ..Done::default() }
        }
        "remove" => Done { receipt: Some(leaving::remove(actors, by, &form.member).await?), ..Done::default() },
        "resend" => invited(invites::resend(actors, by, &form.invite).await?),
        "take-back" => {
            let gone = invites::revoke(actors, by, &form.invite).await?;
            let text = format!("The invitation of {} is taken back. Its link opens nothing.", gone.email);
            Done { toast: Some(Toast::done(text)), ..Done::default() }
        }
        _ => {
            let input = InviteMember {
                email: form.email.trim().to_owned(),
                role: Some(form.role.clone()).filter(|role| !role.is_empty()),
                workspace: Some(form.workspace.clone()).filter(|slug| !slug.is_empty()),
            };
            invited(invites::create(actors, by, input).await?)
        }
    })
}

/// Invites, changes a role, removes; then shows the team.
pub async fn submit(visit: Visit) -> Answer {
    let form: Form = visit.form()?;
    match change(&visit, &form).await {
        Ok(Done { toast, made, receipt }) => {
            let built = build(&visit, Look::default()).await?;
            Ok(page(StatusCode::OK, &Page { shell: built.shell.saying(toast), made, receipt, ..built }))
        }
        Err(error) if form.act == "invite" => {
            let built = build(&visit, Look { invite: Some(String::new()), ..Look::default() }).await?;
            Ok(page(status_of(&error), &Page { form, problem: said(&error), ..built }))
        }
        Err(error) => {
            let built = build(&visit, Look::default()).await?;
            let shell = built.shell.saying(Some(Toast::refused(&error)));
            Ok(page(status_of(&error), &Page { shell, ..built }))
        }
    }
}
