use breakwater_edge_config::HeaderEdits;

use super::CompileError;
use crate::wire::{FieldBuf, Name};

/// A field to write, encoded.
#[derive(Debug)]
pub(crate) struct Edit {
    pub(crate) id: Name,
    /// Lower case.
    pub(crate) name: Box<[u8]>,
    pub(crate) value: Box<[u8]>,
}

/// Changes of header fields: removals, then replacements, then additions.
#[derive(Debug, Default)]
pub(crate) struct Edits {
    /// Removed, those that are replaced included.
    remove: Vec<(Name, Box<[u8]>)>,
    write: Vec<Edit>,
}

/// Fields that belong to a connection or to a message's framing: an edit of them would let a site's author
/// write messages that the next reader takes apart differently.
const FRAMING: [Name; 11] = [
    Name::Connection,
    Name::ContentLength,
    Name::Host,
    Name::KeepAlive,
    Name::ProxyConnection,
    Name::Te,
    Name::Trailer,
    Name::TransferEncoding,
    Name::Upgrade,
    Name::Expect,
    Name::CdnLoop,
];

impl Edits {
    pub(crate) fn compile(edits: &HeaderEdits, place: &str) -> Result<Self, CompileError> {
        let mut out = Self::default();
        for name in &edits.remove {
            out.remove.push(name_of(name, place)?);
        }
        for (name, value) in &edits.set {
            let (id, name) = name_of(name, place)?;
            out.remove.push((id, name.clone()));
            out.write.push(Edit {
                id,
                name,
                value: value_of(value, place)?,
            });
        }
        for (name, value) in &edits.add {
            let (id, name) = name_of(name, place)?;
            out.write.push(Edit {
                id,
                name,
                value: value_of(value, place)?,
            });
        }
        Ok(out)
    }

    pub(crate) fn apply(&self, fields: &mut FieldBuf) {
        for (id, name) in &self.remove {
            if *id == Name::Other {
                fields.remove_named(name);
            } else {
                fields.remove(*id);
            }
        }
        for edit in &self.write {
            fields.push_field(edit.id, &edit.name, &edit.value);
        }
    }
}

fn name_of(name: &str, place: &str) -> Result<(Name, Box<[u8]>), CompileError> {
    let bytes = name.as_bytes();
    let id = Name::of(bytes);
    if bytes.is_empty() || !bytes.iter().all(|b| crate::phases::parse::is_token_byte(*b)) {
        return Err(CompileError::FieldName {
            place: place.to_owned(),
            name: name.to_owned(),
        });
    }
    if FRAMING.contains(&id) {
        return Err(CompileError::FramingField {
            place: place.to_owned(),
            name: name.to_owned(),
        });
    }
    Ok((id, bytes.to_ascii_lowercase().into()))
}

/// Checks that a configured text can stand in a field's value.
pub(super) fn value_of(value: &str, place: &str) -> Result<Box<[u8]>, CompileError> {
    let bytes = value.as_bytes();
    if bytes.iter().all(|b| crate::phases::parse::is_value_byte(*b)) {
        Ok(bytes.into())
    } else {
        Err(CompileError::FieldValue {
            place: place.to_owned(),
            value: value.escape_debug().to_string(),
        })
    }
}
