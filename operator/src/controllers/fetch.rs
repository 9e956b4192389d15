use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};

use breakwater_render::{Name, object};

use crate::publish::PublishedSecret;

/// What reading a Secret gave.
#[derive(Debug)]
pub enum Fetched {
    /// A Secret that sites name; `None`: it isn't there.
    Named(Name, Option<Box<object::Secret>>),
    /// A published Secret with its bytes, by namespace and name.
    Published(Name, Option<Box<PublishedSecret>>),
    /// It can't be read at present.
    Failed(Wanted, String),
}

/// Which Secret to read, and what for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wanted {
    /// A site names it.
    Named(Name),
    /// It is one of ours.
    Published(Name),
}

/// Reads a Secret by name.
pub(super) async fn fetch(client: Client, wanted: Wanted) -> Fetched {
    let (Wanted::Named(name) | Wanted::Published(name)) = &wanted;
    let api = Api::<Secret>::namespaced(client, &name.namespace);
    let secret = match api.get_opt(&name.name).await {
        Ok(secret) => secret,
        Err(error) => return Fetched::Failed(wanted, error.to_string()),
    };
    match wanted {
        Wanted::Named(name) => {
            let found = secret.map(|secret| Box::new(slim(name.clone(), secret)));
            Fetched::Named(name, found)
        }
        Wanted::Published(name) => {
            let found = secret.map(|secret| Box::new(PublishedSecret::read(secret, true)));
            Fetched::Published(name, found)
        }
    }
}

fn slim(name: Name, secret: Secret) -> object::Secret {
    let labels = secret.metadata.labels.unwrap_or_default();
    object::Secret {
        name,
        kind: secret.type_.unwrap_or_default(),
        usable: labels
            .get("edge.breakwater.dev/use")
            .is_some_and(|value| value == "true"),
        data: secret
            .data
            .unwrap_or_default()
            .into_iter()
            .map(|(key, bytes)| (key, bytes.0))
            .collect(),
    }
}
