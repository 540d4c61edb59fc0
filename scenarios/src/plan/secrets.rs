//! What of a plan must never be shown or kept.

use super::{Awaited, Condition, Guard, Part, Payload, Request, RunPlan, Step, Template};

impl RunPlan {
    /// The same plan with every secret's value emptied, fit to be shown or kept.
    #[must_use]
    pub fn without_secrets(&self) -> Self {
        let mut plan = self.clone();
        for kind in &mut plan.sessions {
            hide_secrets(&mut kind.steps);
        }
        plan.transport.hide_secrets();
        plan.assets.hide_secrets();
        plan
    }
}

fn hide_secrets(steps: &mut [Step]) {
    for step in steps {
        match step {
            Step::Request(r) => r.hide_secrets(),
            Step::Connect(c) => {
                c.path.hide_secrets();
                c.headers.iter_mut().for_each(|(_, value)| value.hide_secrets());
            }
            Step::Send(s) => {
                if let Payload::Text(text) = &mut s.payload {
                    text.hide_secrets();
                }
                s.wait.iter_mut().for_each(|w| w.what.hide_secrets());
            }
            Step::OpenEvents(e) => {
                e.path.hide_secrets();
                e.headers.iter_mut().for_each(|(_, value)| value.hide_secrets());
            }
            Step::AwaitEvent(a) => a.what.iter_mut().for_each(Awaited::hide_secrets),
            Step::Parallel(p) => p.requests.iter_mut().for_each(Request::hide_secrets),
            Step::Repeat(r) => {
                if let Some(Guard::While(condition) | Guard::Until(condition)) = &mut r.guard {
                    condition.hide_secrets();
                }
                hide_secrets(&mut r.steps);
            }
            Step::If(fork) => {
                fork.when.hide_secrets();
                hide_secrets(&mut fork.then);
                hide_secrets(&mut fork.otherwise);
            }
            Step::Choose(choices) => choices.iter_mut().for_each(|c| hide_secrets(&mut c.steps)),
            Step::Listen(_)
            | Step::Ignore(_)
            | Step::Think(_)
            | Step::Close(_)
            | Step::CloseEvents(_)
            | Step::Journey(_) => {}
        }
    }
}

impl Awaited {
    fn hide_secrets(&mut self) {
        if let Self::JsonEquals(_, text) | Self::Contains(text) = self {
            text.hide_secrets();
        }
    }
}

impl Request {
    fn hide_secrets(&mut self) {
        self.when.iter_mut().for_each(Condition::hide_secrets);
        self.path.hide_secrets();
        self.headers.iter_mut().for_each(|(_, value)| value.hide_secrets());
        if let Some((_, body)) = &mut self.body {
            body.hide_secrets();
        }
    }
}

impl Template {
    pub(super) fn hide_secrets(&mut self) {
        for part in &mut self.0 {
            part.hide_secrets();
        }
    }
}

impl Condition {
    fn hide_secrets(&mut self) {
        self.values_mut().into_iter().for_each(Part::hide_secrets);
    }
}

impl Part {
    pub(super) fn hide_secrets(&mut self) {
        match self {
            Self::Escaped(_, inner) => inner.hide_secrets(),
            Self::Base64(inner) => inner.hide_secrets(),
            Self::Secret(secret) => secret.value.clear(),
            _ => {}
        }
    }
}
