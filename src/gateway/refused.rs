//! Why somebody may not enter: the answer they get, and what the audit log keeps of it. The log counts refusals by
//! source and kind instead of writing each one, so guessing fills neither the log nor the disk.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse};

use crate::{
    actors::{audit_log::Refused, grant::Grant},
    error::{Error, ErrorCode},
    gateway::{Gateway, reply},
    store::audit::ActorKind,
};

/// Why somebody may not enter.
pub enum Refusal {
    /// 401: no valid token.
    Unauthorized,
    /// 401 as well: a valid token, of another workspace.
    Foreign(Arc<Grant>),
    /// 404: the path names no workspace.
    NotServed,
    /// Something else.
    Error(Error),
}

impl Refusal {
    /// The response, with the id of the request it answers.
    pub fn response(&self, id: Option<&[u8]>) -> HttpResponse {
        match self {
            Refusal::Unauthorized | Refusal::Foreign(_) => reply::unauthorized(id),
            Refusal::NotServed => reply::not_served(),
            Refusal::Error(error) => reply::error_response(error, id, false),
        }
    }
}

impl Gateway {
    /// Counts a refusal for the audit log of the workspace that was asked for; of the token's own, if it is a valid one.
    pub(super) fn note_refusal(&self, request: &HttpRequest, refusal: &Refusal) {
        let action = match refusal {
            Refusal::Unauthorized => "auth_failed",
            Refusal::Foreign(_) => "foreign_token",
            Refusal::Error(error) if error.code() == ErrorCode::OriginRefused => "origin_refused",
            // Too many failed attempts.
            Refusal::Error(error) if error.code() == ErrorCode::RateLimited => "auth_failed",
            Refusal::Error(_) | Refusal::NotServed => return,
        };
        let slug = request.match_info().get("slug").unwrap_or_default();
        let catalog = self.catalog.load();
        let asked = catalog.workspace(slug);
        let (whose, source) = match refusal {
            Refusal::Foreign(grant) => (catalog.workspace(&grant.slug), (ActorKind::Token, grant.name.clone())),
            _ => (asked, (ActorKind::Anonymous, self.client_address(request).to_string().into())),
        };
        // Whoever invents names gets one entry for all of them.
        let target = asked.map_or_else(|| "unknown".into(), |workspace| workspace.slug.clone());
        self.audit.refused(Refused {
            namespace: whose.map(|workspace| workspace.namespace),
            workspace: whose.map(|workspace| workspace.id),
            action,
            target: ("workspace", target),
            source,
        });
    }
}
