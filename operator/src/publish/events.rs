use breakwater_crds::{Condition, ConditionStatus, condition};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder};
use tracing::debug;

/// Something to tell people about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// It needs somebody.
    pub warning: bool,
    /// One word.
    pub reason: String,
    /// A sentence.
    pub note: String,
}

/// What changed between two statuses that a person would want to know: what doesn't hold any more, and that
/// all is well again. `Ready` repeats the others when it is False, and so does `Programmed`
/// unless an edge has failed, so they aren't told then.
pub fn notices(before: &[Condition], after: &[Condition]) -> Vec<Notice> {
    after
        .iter()
        .filter(|new| {
            let old = before.iter().find(|old| old.kind == new.kind);
            old.is_none_or(|old| (old.status, &old.reason) != (new.status, &new.reason))
        })
        .filter_map(|new| match (new.kind.as_str(), new.status) {
            (condition::READY, ConditionStatus::True) => Some(Notice {
                warning: false,
                reason: new.reason.clone(),
                note: new.message.clone(),
            }),
            (condition::READY, _) | (_, ConditionStatus::True | ConditionStatus::Unknown) => None,
            (condition::PROGRAMMED, _) if new.reason != "EdgeFailed" => None,
            (_, ConditionStatus::False) => Some(Notice {
                warning: true,
                reason: new.reason.clone(),
                note: new.message.clone(),
            }),
        })
        .collect()
}

/// Most bytes of an event's note that Kubernetes takes.
const MAX_NOTE: usize = 1_000;

/// Writes events; one that can't be written is lost, the status has it anyway.
pub async fn announce(recorder: &Recorder, about: &ObjectReference, notices: Vec<Notice>) {
    for notice in notices {
        let mut note = notice.note;
        if note.len() > MAX_NOTE {
            let end = (0..=MAX_NOTE - 3)
                .rev()
                .find(|i| note.is_char_boundary(*i))
                .unwrap_or(0);
            note.truncate(end);
            note.push('…');
        }
        let event = Event {
            type_: if notice.warning {
                EventType::Warning
            } else {
                EventType::Normal
            },
            reason: notice.reason,
            note: Some(note),
            action: "Render".to_owned(),
            secondary: None,
        };
        if let Err(error) = recorder.publish(&event, about).await {
            debug!(%error, about = ?about.name, "an event can't be written");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ConditionStatus::{False, True, Unknown};

    fn condition(kind: &str, status: ConditionStatus, reason: &str) -> Condition {
        Condition {
            kind: kind.to_owned(),
            status,
            observed_generation: None,
            last_transition_time: String::new(),
            reason: reason.to_owned(),
            message: String::new(),
        }
    }

    #[test]
    fn a_person_is_told_once_of_what_fails_and_of_readiness() {
        let pending = [condition("Ready", Unknown, "Pending")];
        let refused = [
            condition("Accepted", False, "HostConflict"),
            condition("Programmed", False, "NotAccepted"),
            condition("Ready", False, "HostConflict"),
        ];
        let failed = [
            condition("Programmed", False, "EdgeFailed"),
            condition("Ready", False, "EdgeFailed"),
        ];
        let ready = [
            condition("Accepted", True, "Accepted"),
            condition("Ready", True, "Ready"),
        ];
        let told = |before: &[Condition], after: &[Condition]| {
            notices(before, after)
                .into_iter()
                .map(|n| (n.warning, n.reason))
                .collect::<Vec<_>>()
        };
        assert_eq!(told(&pending, &refused), [(true, "HostConflict".to_owned())]);
        assert_eq!(told(&refused, &refused), []);
        assert_eq!(told(&ready, &failed), [(true, "EdgeFailed".to_owned())]);
        assert_eq!(told(&refused, &ready), [(false, "Ready".to_owned())]);
        assert_eq!(told(&ready, &pending), []);
    }
}
