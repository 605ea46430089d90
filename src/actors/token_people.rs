//! The TokenAuthority's requests about people: sessions, passwords, invitations, members, logins. Their way is the same as
//! that of tokens ([`Tokens`]): one message, one turn, one transaction.

use std::net::IpAddr;

use actix::prelude::*;
use secrecy::SecretString;

pub use crate::actors::{
    authority_invites::{AcceptInvite, InviteMember, IssuedInvite, Joined, Joining, NameInvite, invite_over},
    authority_logins::{AnswerLogin, BegunLogin, LoginState, PollLogin, TypedCode},
    authority_members::{ChangeRole, Left, RemoveMember},
    authority_naming::{RenameNamespace, in_use},
    authority_sessions::{ChangePassword, EndSession, SignIn, SignedIn, Where},
    authority_welcome::{Welcomed, welcome_over},
};
use crate::{
    actors::token_authority::{Asked, TokenAuthority, Tokens, requests},
    domain::{
        clock::Timestamp,
        ids::{AccountId, SessionId},
        role::Principal,
        token::TokenHash,
    },
    error::Result,
    store::{
        accounts::{AccountRecord, MemberRecord},
        invites::InviteRecord,
        login_requests::LoginRecord,
    },
};

impl Tokens {
    /// Counts a request that needs no key.
    ///
    /// # Errors
    /// `rate_limited` when the address has made too many in the last minute.
    pub fn count_open(&self, client: IpAddr) -> Result<()> {
        self.authority().open.count(client)
    }

    /// Signs in with a password. A name that nobody has and a wrong password look the same and take as long.
    pub async fn sign_in(&self, wanted: SignIn) -> Result<SignedIn> {
        self.ask(BySignIn(wanted)).await
    }

    /// Makes the link that opens the dashboard for an account without a password, in place of an earlier one. `None`: it
    /// has a password.
    pub async fn offer_welcome(&self, account: AccountId) -> Result<Option<SecretString>> {
        self.ask(OfferWelcome(account)).await
    }

    /// Whose link this is. Looking uses nothing up; `gone` for every link that opens nothing.
    pub async fn look_at_welcome(&self, hash: TokenHash, client: IpAddr) -> Result<AccountRecord> {
        self.count_open(client)?;
        self.ask(LookAtWelcome(hash)).await
    }

    /// Uses the link: the account has the password and a session when this returns, and the link is worth nothing.
    pub async fn welcome(&self, wanted: Welcomed) -> Result<SignedIn> {
        self.count_open(wanted.at.address)?;
        self.ask(Welcoming(wanted)).await
    }

    /// Begins a session for somebody who has just proved who they are in another way (who accepted an invitation).
    pub async fn begin_session(&self, account: AccountRecord, at: Where) -> Result<SignedIn> {
        self.authority().begin_session(account, at, None).await
    }

    /// Who acts with this cookie, in the namespace that is asked for, else their own. `None`: unknown, ended, expired or
    /// unused for too long.
    pub async fn session(&self, asked: Asked, client: IpAddr) -> Result<Option<Principal>> {
        self.authority().failed.attempt(client, self.ask(FindSession(asked))).await
    }

    /// Who somebody is now who was let in before, without counting as a use; `None`: they would not be let in again.
    pub async fn still(&self, by: &Principal) -> Result<Option<Principal>> {
        self.authority().still(by).await
    }

    /// When a session was last seen in this process.
    pub fn session_last_seen(&self, session: SessionId) -> Option<Timestamp> {
        self.authority().used_sessions.get(session)
    }

    /// Ends a session of whoever acts.
    pub async fn end_session(&self, ending: EndSession) -> Result<()> {
        self.ask(End(ending)).await
    }

    /// Changes the password of whoever acts; how many other sessions that ended.
    pub async fn change_password(&self, change: ChangePassword) -> Result<u64> {
        self.ask(Change(change)).await
    }

    /// Gives the own namespace another name, while it is unused.
    pub async fn rename_namespace(&self, wanted: RenameNamespace) -> Result<AccountRecord> {
        self.ask(Rename(wanted)).await
    }

    /// Invites somebody; an older invitation of the same address is void when this returns.
    pub async fn invite(&self, wanted: InviteMember) -> Result<IssuedInvite> {
        self.ask(Invite(wanted)).await
    }

    /// Makes a new link for an open invitation.
    pub async fn renew_invite(&self, named: NameInvite) -> Result<IssuedInvite> {
        self.ask(Renew(named)).await
    }

    /// Takes an open invitation back.
    pub async fn revoke_invite(&self, named: NameInvite) -> Result<InviteRecord> {
        self.ask(Withdraw(named)).await
    }

    /// The invitation of a code and its namespace, if it can be accepted now. Looking uses nothing up.
    pub async fn look_at_invite(
        &self,
        hash: TokenHash,
        client: IpAddr,
    ) -> Result<Option<(InviteRecord, AccountRecord)>> {
        self.authority().failed.attempt(client, self.authority().look_at_invite(hash)).await
    }

    /// Accepts an invitation, once.
    ///
    /// # Errors
    /// `gone` for every invitation that cannot be accepted, `forbidden` when it is for another address.
    pub async fn accept_invite(&self, accepting: AcceptInvite, client: IpAddr) -> Result<Joined> {
        self.count_open(client)?;
        self.ask(Accept(accepting)).await
    }

    /// Gives a member another role.
    pub async fn change_role(&self, change: ChangeRole) -> Result<MemberRecord> {
        self.ask(SetRole(change)).await
    }

    /// Takes a member out. When this returns, nothing is accepted, sent or written for their tokens here any more.
    pub async fn remove_member(&self, leaving: RemoveMember) -> Result<Left> {
        self.ask(Remove(leaving)).await
    }

    /// Begins a login of a command line.
    pub async fn begin_login(&self, at: Where) -> Result<BegunLogin> {
        self.ask(BeginLogin(at)).await
    }

    /// The login with this code that waits for an answer.
    pub async fn login_of_code(&self, typed: TypedCode) -> Result<Option<LoginRecord>> {
        self.authority().login_of_code(typed).await
    }

    /// Says yes or no to a login.
    pub async fn answer_login(&self, answer: AnswerLogin) -> Result<()> {
        self.ask(Answer(answer)).await
    }

    /// Whether a login was confirmed; its key is in this one answer.
    pub async fn poll_login(&self, poll: PollLogin) -> Result<LoginState> {
        self.ask(Poll(poll)).await
    }
}

requests! {
    BySignIn(SignIn) -> SignedIn = sign_in;
    OfferWelcome(AccountId) -> Option<SecretString> = offer_welcome;
    LookAtWelcome(TokenHash) -> AccountRecord = look_at_welcome;
    Welcoming(Welcomed) -> SignedIn = welcome;
    FindSession(Asked) -> Option<Principal> = find_session;
    End(EndSession) -> () = end_session;
    Change(ChangePassword) -> u64 = change_password;
    Rename(RenameNamespace) -> AccountRecord = rename_namespace;
    Invite(InviteMember) -> IssuedInvite = invite;
    Renew(NameInvite) -> IssuedInvite = renew_invite;
    Withdraw(NameInvite) -> InviteRecord = revoke_invite;
    Accept(AcceptInvite) -> Joined = accept_invite;
    SetRole(ChangeRole) -> MemberRecord = change_role;
    Remove(RemoveMember) -> Left = remove_member;
    BeginLogin(Where) -> BegunLogin = begin_login;
    Answer(AnswerLogin) -> () = answer_login;
    Poll(PollLogin) -> LoginState = poll_login;
}
