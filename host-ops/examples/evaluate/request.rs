//! What is asked for.

use std::io;

use numpack_host_ops::{Array, DType, Operand, Scalar};
use serde_json::Value;

pub(crate) type Outcome = Result<Vec<Array>, String>;

pub(crate) enum Input {
    Array(Array),
    Scalar(Scalar),
    Missing,
}

pub(crate) struct Request {
    pub(crate) op: String,
    args: Value,
    inputs: Vec<Input>,
}

impl Request {
    /// Reads all inputs, so that the next request is found even where this one is refused.
    pub(crate) fn read(
        head: &Value,
        mut fill: impl FnMut(&mut [u8]) -> io::Result<()>,
    ) -> io::Result<Result<Request, String>> {
        let mut inputs = Ok(Vec::new());
        for described in head["inputs"].as_array().into_iter().flatten() {
            let mut bytes = vec![0; described["nbytes"].as_u64().unwrap_or(0) as usize];
            fill(&mut bytes)?;
            if let Ok(read) = &mut inputs {
                match input(described, &bytes) {
                    Ok(input) => read.push(input),
                    Err(e) => inputs = Err(e),
                }
            }
        }
        let op = head["op"].as_str().unwrap_or_default().to_owned();
        Ok(inputs.map(|inputs| Request { op, args: head["args"].clone(), inputs }))
    }

    pub(crate) fn array(&self, i: usize) -> Result<&Array, String> {
        self.optional(i)?.ok_or_else(|| format!("input {i} is missing"))
    }

    pub(crate) fn optional(&self, i: usize) -> Result<Option<&Array>, String> {
        match self.inputs.get(i) {
            Some(Input::Array(array)) => Ok(Some(array)),
            Some(Input::Missing) | None => Ok(None),
            Some(Input::Scalar(_)) => Err(format!("input {i} is no array")),
        }
    }

    pub(crate) fn operand(&self, i: usize) -> Result<Operand<'_>, String> {
        self.optional_operand(i).ok_or_else(|| format!("input {i} is missing"))
    }

    pub(crate) fn optional_operand(&self, i: usize) -> Option<Operand<'_>> {
        match self.inputs.get(i) {
            Some(Input::Array(array)) => Some(array.into()),
            Some(Input::Scalar(scalar)) => Some((*scalar).into()),
            Some(Input::Missing) | None => None,
        }
    }

    /// The inputs from one on, all arrays.
    pub(crate) fn arrays(&self, from: usize) -> Result<Vec<&Array>, String> {
        (from..self.inputs.len()).map(|i| self.array(i)).collect()
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.args[name].as_bool().unwrap_or(false)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        !self.args[name].is_null()
    }

    pub(crate) fn int(&self, name: &str) -> Result<i64, String> {
        self.args[name].as_i64().ok_or_else(|| format!("{name} is no integer"))
    }

    pub(crate) fn float(&self, name: &str) -> Result<f64, String> {
        let value = &self.args[name];
        let text = value.as_str().and_then(|s| s.parse().ok());
        value.as_f64().or(text).ok_or_else(|| format!("{name} is no float"))
    }

    pub(crate) fn word(&self, name: &str) -> &str {
        self.args[name].as_str().unwrap_or_default()
    }

    pub(crate) fn ints(&self, name: &str) -> Vec<i64> {
        self.args[name].as_array().into_iter().flatten().filter_map(Value::as_i64).collect()
    }

    pub(crate) fn dims(&self, name: &str) -> Vec<isize> {
        self.ints(name).into_iter().map(|d| d as isize).collect()
    }

    pub(crate) fn sizes(&self, name: &str) -> Vec<usize> {
        self.ints(name).into_iter().map(|d| d as usize).collect()
    }

    pub(crate) fn dtype(&self, name: &str) -> Result<DType, String> {
        let word = self.word(name);
        DType::from_name(word).ok_or_else(|| format!("there is no type {word:?}"))
    }
}

fn input(described: &Value, bytes: &[u8]) -> Result<Input, String> {
    if described.is_null() {
        return Ok(Input::Missing);
    }
    let value = described["value"].as_str().unwrap_or_default();
    let wrong = || format!("{described} is no input");
    match described["scalar"].as_str() {
        Some("bool") => return Ok(Input::Scalar(Scalar::Bool(value == "True"))),
        Some("int") => return Ok(Input::Scalar(Scalar::Int(value.parse().map_err(|_| wrong())?))),
        Some("float") => {
            return Ok(Input::Scalar(Scalar::Float(value.parse().map_err(|_| wrong())?)));
        }
        _ => {}
    }
    let dtype = described["dtype"].as_str().and_then(DType::from_name).ok_or_else(wrong)?;
    let numbers = |name: &str| -> Vec<i64> {
        described[name].as_array().into_iter().flatten().filter_map(Value::as_i64).collect()
    };
    let shape: Vec<usize> = numbers("shape").into_iter().map(|n| n as usize).collect();
    let strides: Vec<isize> = numbers("strides").into_iter().map(|n| n as isize).collect();
    let offset = described["offset"].as_u64().ok_or_else(wrong)? as usize;
    let array = Array::from_bytes(dtype, bytes, &shape, &strides, offset);
    array.map(Input::Array).map_err(|e| e.to_string())
}
