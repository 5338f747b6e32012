//! Tensors in files, in the format of safetensors.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use half::{bf16, f16};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, View};

use crate::device::{Device, Tensor};
use crate::dtype::DType;
use crate::error::{Error, Result};

/// Writes named tensors into a file in the format of [safetensors](https://github.com/huggingface/safetensors), which
/// PyTorch, candle and burn read: f32 as F32, f16 as F16, bf16 as BF16. A file of this name is replaced once the new one is complete.
///
/// ```
/// use wgrad::{Device, load, load_into, save};
///
/// # let folder = std::env::temp_dir().join(format!("wgrad-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).unwrap();
/// # let path = folder.join("model.safetensors");
/// let device = Device::cpu();
/// let w = device.tensor(&[1.0, 2.0, 3.0], [3, 1])?;
/// save(&path, &[("layer.weight", &w)])?;
///
/// let found = load(&device, &path)?;
/// assert_eq!(found["layer.weight"].to_vec()?, [1.0, 2.0, 3.0]);
/// w.write(&[0.0; 3])?;
/// load_into(&path, &[("layer.weight", &w)])?;
/// assert_eq!(w.to_vec()?, [1.0, 2.0, 3.0]);
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// [`Error::File`] if a name occurs twice or the file cannot be written; the errors of [`Tensor::to_vec`].
pub fn save(path: impl AsRef<Path>, tensors: &[(&str, &Tensor)]) -> Result<()> {
    let path = path.as_ref();
    let mut names = BTreeSet::new();
    if let Some((name, _)) = tensors.iter().find(|(name, _)| !names.insert(*name)) {
        return Err(fault(
            path,
            format!("the name {name:?} is given twice; give each tensor its own"),
        ));
    }
    let stored = |&(name, tensor): &(&str, &Tensor)| Ok((name.to_owned(), Stored::new(tensor)?));
    let stored = tensors.iter().map(stored).collect::<Result<Vec<_>>>()?;
    safetensors::tensor::serialize_to_file(stored, None, path)
        .map_err(|error| fault(path, format!("cannot be written: {error}")))
}

/// The tensors of a file in the format of safetensors, by their names. F32, F16 and BF16 keep their type.
///
/// # Errors
/// [`Error::File`] if the file cannot be read, is not of this format, is cut off, or has a tensor of another type;
/// those of [`Device::tensor`].
pub fn load(device: &Device, path: impl AsRef<Path>) -> Result<BTreeMap<String, Tensor>> {
    let path = path.as_ref();
    let bytes = read(path)?;
    let file = parse(path, &bytes)?;
    let mut tensors = BTreeMap::new();
    for (name, view) in file.iter() {
        let shape = view.shape().to_vec();
        let tensor = match Values::of(path, name, &view)? {
            Values::F32(values) => device.tensor(&values, shape)?,
            Values::F16(values) => device.tensor_f16(&values, shape)?,
            Values::BF16(values) => device.tensor_bf16(&values, shape)?,
        };
        tensors.insert(name.to_owned(), tensor);
    }
    Ok(tensors)
}

/// Writes the tensors of a file in the format of safetensors into existing ones, by their names. The file may have
/// others, too.
///
/// # Errors
/// As [`load`]; [`Error::File`] if a name is not in the file, or has another shape or type there. Nothing is written
/// then.
pub fn load_into(path: impl AsRef<Path>, tensors: &[(&str, &Tensor)]) -> Result<()> {
    let path = path.as_ref();
    let bytes = read(path)?;
    let file = parse(path, &bytes)?;
    let mut found = Vec::with_capacity(tensors.len());
    for &(name, tensor) in tensors {
        let view = file.tensor(name).map_err(|_| {
            let mut names = file.names();
            names.sort_unstable();
            let shown = names.iter().take(12).map(|name| format!("{name:?}"));
            let shown = shown.collect::<Vec<_>>().join(", ");
            let more = if names.len() > 12 { ", …" } else { "" };
            fault(path, format!("has no tensor {name:?}; it has: {shown}{more}"))
        })?;
        if view.shape() != tensor.shape() {
            let (found, wanted) = (view.shape(), tensor.shape());
            return Err(fault(
                path,
                format!("{name:?} has the shape {found:?} there, not {wanted:?}"),
            ));
        }
        let values = Values::of(path, name, &view)?;
        if values.dtype() != tensor.dtype() {
            let (found, wanted) = (view.dtype(), tensor.dtype());
            return Err(fault(path, format!("{name:?} is of {found:?} there, not of {wanted}")));
        }
        found.push((tensor, values));
    }
    found.iter().try_for_each(|(tensor, values)| match values {
        Values::F32(values) => tensor.write(values),
        Values::F16(values) => tensor.write_f16(values),
        Values::BF16(values) => tensor.write_bf16(values),
    })
}

fn fault(path: &Path, reason: String) -> Error {
    Error::File { path: path.display().to_string(), reason }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| fault(path, format!("cannot be read: {error}")))
}

fn parse<'a>(path: &Path, bytes: &'a [u8]) -> Result<SafeTensors<'a>> {
    SafeTensors::deserialize(bytes).map_err(|error| {
        fault(path, format!("is not a whole file of safetensors ({} bytes): {error}", bytes.len()))
    })
}

/// The values of a tensor in a file.
enum Values {
    F32(Vec<f32>),
    F16(Vec<f16>),
    BF16(Vec<bf16>),
}

impl Values {
    fn of(path: &Path, name: &str, view: &TensorView<'_>) -> Result<Self> {
        let pairs = || view.data().as_chunks::<2>().0.iter().copied();
        Ok(match view.dtype() {
            Dtype::F32 => {
                let (words, _) = view.data().as_chunks::<4>();
                Self::F32(words.iter().copied().map(f32::from_le_bytes).collect())
            }
            Dtype::F16 => Self::F16(pairs().map(f16::from_le_bytes).collect()),
            Dtype::BF16 => Self::BF16(pairs().map(bf16::from_le_bytes).collect()),
            other => {
                let reason = format!(
                    "{name:?} is of {other:?}; F32, F16 and BF16 can be loaded: convert it before"
                );
                return Err(fault(path, reason));
            }
        })
    }

    const fn dtype(&self) -> DType {
        match self {
            Self::F32(_) => DType::F32,
            Self::F16(_) => DType::F16,
            Self::BF16(_) => DType::BF16,
        }
    }
}

/// A tensor as the file has it.
struct Stored {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Stored {
    fn new(tensor: &Tensor) -> Result<Self> {
        let (dtype, bytes) = match tensor.dtype() {
            DType::F32 => {
                (Dtype::F32, tensor.to_vec()?.into_iter().flat_map(f32::to_le_bytes).collect())
            }
            DType::F16 => {
                (Dtype::F16, tensor.to_vec_f16()?.into_iter().flat_map(f16::to_le_bytes).collect())
            }
            DType::BF16 => {
                let values = tensor.to_vec_bf16()?.into_iter();
                (Dtype::BF16, values.flat_map(bf16::to_le_bytes).collect())
            }
        };
        Ok(Self { dtype, shape: tensor.shape().to_vec(), bytes })
    }
}

impl View for Stored {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}
