//! What a workspace decided about the tools of one installation: switches, aliases, pins. Pure; the catalogue's books
//! keep one per installation, and a snapshot shares it.
//!
//! Pins belong to the installation. An installation sees one discovery: that of its workspace's own credentials where
//! there are such, else that of everybody's. The first one with any tools is the baseline, which installing approved;
//! what another set of credentials shows later waits like every other change.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use crate::{
    domain::{
        definition::{self, Fingerprint, PinMode},
        ids::InstallationId,
        tool_name,
    },
    store::{
        tool_pins::{Definition, PinRecord},
        tool_settings::ToolSetting,
    },
    upstream::lists::Item,
};

/// Why a tool of an installation is not offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hidden {
    /// The whole installation is disabled.
    ServerDisabled,
    /// An administrator switched it off.
    SwitchedOff,
    /// It is new since the baseline and waits for approval.
    New,
    /// Its definition changed and waits for approval.
    Changed,
    /// An administrator rejected its definition.
    Rejected,
}

/// The pin of one tool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pin {
    /// The approved definition.
    pub approved: Option<Fingerprint>,
    /// Another one, seen since.
    pub seen: Option<Fingerprint>,
    /// Whether that one was rejected.
    pub rejected: bool,
    /// The name clients see where the plain one does not fit.
    pub short_name: Option<Box<str>>,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// What happens to tools that are new or changed.
    pub mode: PinMode,
    /// Whether there is a baseline.
    pub pinned: bool,
    settings: HashMap<Box<str>, (bool, Option<Arc<str>>)>,
    pins: HashMap<Box<str>, Pin>,
}

/// A tool and the fingerprint of its definition.
pub type Printed<'a> = (&'a Item, Fingerprint);

/// What a discovery changes in the pins of an installation.
#[derive(Debug, Clone, Default)]
pub struct PinPlan {
    /// Become the approved definitions.
    pub approve: Vec<Definition>,
    /// Wait for a decision.
    pub wait: Vec<Definition>,
    /// The server has them no more.
    pub forget: Vec<String>,
    /// It is the baseline.
    pub baseline: bool,
}

impl PinPlan {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.approve.is_empty() && self.wait.is_empty() && self.forget.is_empty() && !self.baseline
    }
}

impl Policy {
    /// Notes what was decided about a tool.
    pub fn set(&mut self, setting: &ToolSetting) {
        let alias = setting.alias.as_deref().map(Arc::from);
        match (setting.enabled, alias) {
            (true, None) => drop(self.settings.remove(&*setting.tool)),
            decided => drop(self.settings.insert(setting.tool.as_str().into(), decided)),
        }
    }

    /// What was decided about a tool: whether it is on, and its alias.
    pub fn setting(&self, tool: &str) -> (bool, Option<&Arc<str>>) {
        self.settings.get(tool).map_or((true, None), |(enabled, alias)| (*enabled, alias.as_ref()))
    }

    /// The same as a record.
    pub fn setting_of(&self, tool: &str) -> (bool, Option<String>) {
        let (enabled, alias) = self.setting(tool);
        (enabled, alias.map(|alias| alias.to_string()))
    }

    /// All aliases.
    pub fn aliases(&self) -> impl Iterator<Item = (&str, &Arc<str>)> {
        self.settings.iter().filter_map(|(tool, (_, alias))| Some((&**tool, alias.as_ref()?)))
    }

    /// Tools that something was decided about, or that have a pin.
    pub fn known_tools(&self) -> impl Iterator<Item = &str> {
        self.settings.keys().chain(self.pins.keys()).map(|tool| &**tool)
    }

    /// Notes a pin.
    pub fn put_pin(&mut self, record: PinRecord) {
        let PinRecord { tool, approved, seen, rejected, short_name, .. } = record;
        let short_name = short_name.map(String::into_boxed_str);
        self.pins.insert(tool.into(), Pin { approved, seen, rejected, short_name });
    }

    /// A tool's pin.
    pub fn pin(&self, tool: &str) -> Option<&Pin> {
        self.pins.get(tool)
    }

    /// Forgets the names that stand for those which do not fit.
    pub fn forget_short_names(&mut self) {
        self.pins.values_mut().for_each(|pin| pin.short_name = None);
    }

    /// The name of a tool under `prefix`: its alias, else the plain one if it fits, else the one kept for it.
    pub fn exposed(&self, prefix: &str, tool: &str) -> Arc<str> {
        if let (_, Some(alias)) = self.setting(tool) {
            return alias.clone();
        }
        let exposed = tool_name::expose(prefix, tool);
        let kept = self.pins.get(tool).and_then(|pin| pin.short_name.as_deref()).filter(|_| exposed.aliased);
        kept.unwrap_or(&exposed.name).into()
    }

    /// Why a tool with that definition is not offered, if it is not.
    pub fn hidden(&self, tool: &str, print: Fingerprint) -> Option<Hidden> {
        if self.setting(tool).0 { self.hidden_by_pin(tool, print) } else { Some(Hidden::SwitchedOff) }
    }

    /// Why its pin hides it, if it does.
    pub fn hidden_by_pin(&self, tool: &str, print: Fingerprint) -> Option<Hidden> {
        if self.mode == PinMode::Track || !self.pinned {
            return None;
        }
        match self.pins.get(tool) {
            Some(pin) if pin.approved == Some(print) => None,
            Some(pin) if pin.rejected && pin.seen == Some(print) => Some(Hidden::Rejected),
            Some(pin) if pin.approved.is_some() => Some(Hidden::Changed),
            _ => Some(Hidden::New),
        }
    }

    /// What a discovery changes under that mode.
    pub fn plan(&self, mode: PinMode, prefix: &str, tools: &[Printed<'_>]) -> PinPlan {
        let mut plan = PinPlan::default();
        if !self.pinned && tools.is_empty() {
            // A server that offers nothing yet (without its credential, say) approves nothing.
            return plan;
        }
        plan.baseline = !self.pinned;
        let takes_all = !self.pinned || mode == PinMode::Track;
        for (item, print) in tools {
            let pin = self.pins.get(&item.name);
            let approved = pin.is_some_and(|pin| pin.approved == Some(*print));
            let noted = pin.is_some_and(|pin| pin.seen == Some(*print));
            let waited = pin.is_some_and(|pin| pin.seen.is_some());
            if approved && !waited || noted && !takes_all {
                continue;
            }
            let into = if approved || takes_all { &mut plan.approve } else { &mut plan.wait };
            into.push(definition(prefix, item, *print));
        }
        let there: HashSet<&str> = tools.iter().map(|(item, _)| &*item.name).collect();
        let gone =
            self.pins.iter().filter(|(tool, pin)| (takes_all || pin.approved.is_none()) && !there.contains(&***tool));
        plan.forget = gone.map(|(tool, _)| tool.to_string()).collect();
        plan
    }

    /// Notes that a plan was carried out.
    pub fn carry_out(&mut self, plan: &PinPlan) {
        self.pinned |= plan.baseline;
        for tool in &plan.forget {
            self.pins.remove(tool.as_str());
        }
        for one in &plan.approve {
            let pin = self.pins.entry(one.tool.as_str().into()).or_default();
            pin.short_name = pin.short_name.take().or_else(|| one.short_name.as_deref().map(Into::into));
            (pin.approved, pin.seen, pin.rejected) = (Some(one.fingerprint), None, false);
        }
        for one in &plan.wait {
            let pin = self.pins.entry(one.tool.as_str().into()).or_default();
            pin.short_name = pin.short_name.take().or_else(|| one.short_name.as_deref().map(Into::into));
            (pin.seen, pin.rejected) = (Some(one.fingerprint), false);
        }
    }

    /// Notes a decision about the definition that waits.
    pub fn decide(&mut self, tool: &str, print: Fingerprint, approve: bool) {
        let Some(pin) = self.pins.get_mut(tool).filter(|pin| pin.seen == Some(print)) else { return };
        if approve {
            (pin.approved, pin.seen, pin.rejected) = (Some(print), None, false);
        } else {
            pin.rejected = true;
        }
    }
}

/// A tool's definition on its way into the database.
fn definition(prefix: &str, item: &Item, fingerprint: Fingerprint) -> Definition {
    let exposed = tool_name::expose(prefix, &item.name);
    Definition {
        tool: item.name.to_string(),
        fingerprint,
        text: definition::canonical(item.raw.get()),
        short_name: exposed.aliased.then_some(exposed.name),
    }
}

/// The policies of installations, from their rows.
pub fn collect(settings: &[ToolSetting], pins: Vec<PinRecord>) -> HashMap<InstallationId, Policy> {
    let mut policies: HashMap<InstallationId, Policy> = HashMap::new();
    for setting in settings {
        policies.entry(setting.installation).or_default().set(setting);
    }
    for pin in pins {
        policies.entry(pin.installation).or_default().put_pin(pin);
    }
    policies
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    fn item(name: &str, description: &str) -> Item {
        let raw = serde_json::json!({ "name": name, "description": description, "inputSchema": {} }).to_string();
        Item { name: name.into(), raw: RawValue::from_string(raw).unwrap() }
    }

    fn printed(items: &[Item]) -> Vec<Printed<'_>> {
        items.iter().map(|item| (item, Fingerprint::of(item.raw.get()))).collect()
    }

    /// A discovery, carried out.
    fn discover(policy: &mut Policy, items: &[Item]) -> PinPlan {
        let plan = policy.plan(policy.mode, "s", &printed(items));
        policy.carry_out(&plan);
        plan
    }

    fn offered(policy: &Policy, items: &[Item]) -> Vec<String> {
        let shown = printed(items).into_iter().filter(|(item, print)| policy.hidden(&item.name, *print).is_none());
        shown.map(|(item, _)| item.name.to_string()).collect()
    }

    #[test]
    fn the_first_discovery_with_tools_is_the_baseline_and_what_comes_later_waits() {
        let mut policy = Policy::default();
        assert!(discover(&mut policy, &[]).is_empty() && !policy.pinned);
        let first = [item("a", "A"), item("b", "B")];
        assert!(discover(&mut policy, &first).baseline && policy.pinned);
        assert_eq!(offered(&policy, &first), ["a", "b"]);
        assert!(discover(&mut policy, &first).is_empty(), "nothing new, nothing to write");

        let later = [item("a", "A!"), item("b", "B"), item("c", "C")];
        let plan = discover(&mut policy, &later);
        assert_eq!(plan.wait.iter().map(|one| one.tool.as_str()).collect::<Vec<_>>(), ["a", "c"]);
        assert_eq!(offered(&policy, &later), ["b"]);
        let why = |policy: &Policy, at: usize| policy.hidden(&later[at].name, printed(&later)[at].1);
        assert_eq!((why(&policy, 0), why(&policy, 2)), (Some(Hidden::Changed), Some(Hidden::New)));
        assert!(discover(&mut policy, &later).is_empty());

        let print = printed(&later)[0].1;
        policy.decide("a", Fingerprint([0; 32]), true);
        assert_eq!(why(&policy, 0), Some(Hidden::Changed), "another definition was decided about");
        policy.decide("a", print, true);
        policy.decide("c", printed(&later)[2].1, false);
        assert_eq!(offered(&policy, &later), ["a", "b"]);
        assert_eq!(why(&policy, 2), Some(Hidden::Rejected));
    }

    #[test]
    fn a_tool_that_comes_back_as_it_was_is_still_approved_and_rubbish_does_not_pile_up() {
        let mut policy = Policy::default();
        let first = [item("a", "A"), item("b", "B")];
        discover(&mut policy, &first);
        discover(&mut policy, &[item("b", "B")]);
        assert_eq!(offered(&policy, &first), ["a", "b"]);
        for round in 0..50 {
            discover(&mut policy, &[item("b", "B"), item(&format!("new{round}"), "x")]);
        }
        assert_eq!(policy.known_tools().count(), 3, "a, b and the newest");
        // A change that was taken back leaves nothing to decide.
        discover(&mut policy, &[item("a", "A?"), item("b", "B")]);
        let plan = discover(&mut policy, &first);
        assert_eq!(plan.approve.len(), 1);
        assert_eq!(policy.pin("a").unwrap().seen, None);
    }

    #[test]
    fn tracking_takes_everything_and_remembers_it() {
        let mut policy = Policy { mode: PinMode::Track, ..Policy::default() };
        discover(&mut policy, &[item("a", "A")]);
        let later = [item("a", "A!"), item("c", "C")];
        assert_eq!(offered(&policy, &later), ["a", "c"]);
        assert_eq!(discover(&mut policy, &later).approve.len(), 2);
        policy.mode = PinMode::Pin;
        assert_eq!(offered(&policy, &later), ["a", "c"], "from here on they are pinned");
        assert_eq!(offered(&policy, &[item("a", "A")]), [""; 0]);
    }

    #[test]
    fn an_alias_comes_first_and_a_name_that_does_not_fit_keeps_the_one_it_got() {
        let mut policy = Policy::default();
        let id = InstallationId::generate();
        let workspace = crate::domain::ids::WorkspaceId::generate();
        let mut setting =
            ToolSetting { installation: id, workspace, tool: "a".into(), enabled: true, alias: Some("z".into()) };
        policy.set(&setting);
        assert_eq!(&*policy.exposed("s", "a"), "z");
        setting.alias = None;
        policy.set(&setting);
        assert_eq!(&*policy.exposed("s", "a"), "s__a");
        discover(&mut policy, &[item("x.y", "dots")]);
        let given = policy.exposed("s", "x.y");
        assert!(given.starts_with("s__x_y_"));
        policy.pins.get_mut("x.y").unwrap().short_name = Some("s__kept".into());
        assert_eq!(&*policy.exposed("s", "x.y"), "s__kept");
    }
}
