use std::path::PathBuf;

/// Who this edge is and where its configuration is found and kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// The region's namespace: its Secrets are the configuration.
    pub namespace: String,
    /// Name of the `EdgeRegion`.
    pub region: String,
    /// Name of the Node.
    pub node: String,
    /// Name of this Pod; the `EdgeNode` has it too.
    pub pod: String,
    /// UID of this Pod, which owns the `EdgeNode`; empty: it has no owner and stays.
    pub pod_uid: String,
    /// A kubeconfig; `None`: the Pod's service account.
    pub kubeconfig: Option<PathBuf>,
    /// Directory on the node that outlives this process.
    pub state_dir: PathBuf,
    /// File of exactly 32 random bytes, mounted from a Secret, which encrypts what lies in the state
    /// directory; `None`: it lies there in plain.
    pub state_key_file: Option<PathBuf>,
}
