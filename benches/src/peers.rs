//! Other readers of the same tensors. Each opens a file and gives name, element type and shape of
//! every tensor, which is what is timed.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use pytorch_reader::PytorchReader;
use safetensors::{Dtype, SafeTensors, View};
use torch_pickle::{Checkpoint, Node};

/// Names the Python whose torch is measured too.
pub const PYTHON: &str = "NUMPACK_BENCH_PYTHON";

/// Names the Python whose ncnn and grilly are measured too.
pub const VULKAN_PYTHON: &str = "NUMPACK_BENCH_VULKAN_PYTHON";

/// Lists a `.pt` file with pytorch-reader, and says how many tensors it found.
///
/// # Errors
/// Those of pytorch-reader.
pub fn pytorch_reader(path: &Path) -> Result<usize> {
    let reader = PytorchReader::new(path)?;
    let list: Vec<_> = reader
        .tensors()
        .values()
        .map(|t| (t.name.clone(), t.dtype(), t.shape().to_vec()))
        .collect();
    Ok(list.len())
}

/// Lists a `.pt` file with candle-core, and says how many tensors it found.
///
/// # Errors
/// Those of candle-core.
pub fn candle(path: &Path) -> Result<usize> {
    let found = candle_core::pickle::read_pth_tensor_info(path, false, None)?;
    let list: Vec<_> =
        found.into_iter().map(|t| (t.name, t.dtype, t.layout.shape().dims().to_vec())).collect();
    Ok(list.len())
}

/// Lists a `.safetensors` file as the crate's documentation does: mapped, then its header read.
///
/// # Errors
/// When it cannot be read.
#[allow(unsafe_code, reason = "the peer is used as it is meant to be, and that is with a map")]
pub fn safetensors(path: &Path) -> Result<usize> {
    let file = File::open(path)?;
    // SAFETY: the file lies in a folder of this run, which does not write to it once it is made.
    let map = unsafe { memmap2::Mmap::map(&file) }?;
    Ok(SafeTensors::deserialize(&map)?.tensors().len())
}

/// Writes the tensors of a checkpoint, all contiguous float32, as a `.safetensors` file.
///
/// # Errors
/// When either file cannot be read or written.
pub fn write_safetensors(checkpoint: &Path, path: &Path) -> Result<()> {
    let checkpoint = Checkpoint::open(checkpoint)?;
    let tree = checkpoint.tree();
    let mut tensors = Vec::new();
    for (name, node) in tree.first_names() {
        let Node::Tensor(id) = *tree.node(node) else { continue };
        let tensor = tree.tensor(id);
        let record = checkpoint.storage_record(tensor.storage)?.context("in pieces")?;
        let (file, _) = checkpoint.storage_file(tensor.storage).context("in pieces")?;
        let shape = tensor.shape.iter().map(|&n| usize::try_from(n)).collect::<Result<_, _>>()?;
        let view = Stored { file, offset: record.offset, len: usize::try_from(record.len)?, shape };
        tensors.push((name, view));
    }
    Ok(safetensors::serialize_to_file(tensors, None, path)?)
}

/// A tensor whose bytes are read when they are written.
struct Stored<'a> {
    file: &'a File,
    offset: u64,
    len: usize,
    shape: Vec<usize>,
}

impl View for Stored<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let mut bytes = vec![0; self.len];
        // The trait has no error to return; a file that ends early would show as zeros.
        self.file.read_exact_at(&mut bytes, self.offset).unwrap_or_default();
        Cow::Owned(bytes)
    }

    fn data_len(&self) -> usize {
        self.len
    }
}

/// A Python process that takes lines and answers with times.
pub struct Python {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

/// Says torch's version; then, for each path, how long it takes to load and list the file.
pub const TORCH_LISTING: &str = "
import sys, time, torch
print('torch', torch.__version__, flush=True)
for path in sys.stdin:
    path = path.rstrip('\\n')
    start = time.perf_counter_ns()
    state = torch.load(path, map_location='cpu', mmap=True, weights_only=True)
    found = [(k, v.dtype, v.shape) for k, v in state.items()]
    print(time.perf_counter_ns() - start, flush=True)
    del state, found
";

/// Says numpy's version; then, for `rows width n times path`, how long it takes to pick `n` random
/// rows of float32 out of a mapped file, for as many times altogether.
pub const NUMPY_GATHER: &str = "
import sys, time, numpy
print('numpy memmap', numpy.__version__, flush=True)
for line in sys.stdin:
    rows, width, n, times, path = line.rstrip('\\n').split(' ', 4)
    array = numpy.memmap(path, numpy.float32, 'r', shape=(int(rows), int(width)))
    picks = numpy.random.default_rng().integers(0, int(rows), (int(times), int(n)))
    start = time.perf_counter_ns()
    for pick in picks:
        array[pick]
    print(time.perf_counter_ns() - start, flush=True)
    del array
";

/// Says torch's version; then, for `epochs batch sizes…`, how long it takes to train a network of linear layers
/// of these sizes with rectifiers between them, on one thread, after a first step.
pub const TORCH_TRAINING: &str = "
import itertools, sys, time, torch
torch.set_num_threads(1)
print('torch, one thread', torch.__version__, flush=True)
for line in sys.stdin:
    epochs, batch, *sizes = map(int, line.split())
    layers = [[torch.nn.Linear(a, b), torch.nn.ReLU()] for a, b in itertools.pairwise(sizes)]
    model = torch.nn.Sequential(*itertools.chain(*layers))[:-1]
    x, y = torch.randn(batch, sizes[0]), torch.randint(0, sizes[-1], (batch,))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    def step():
        loss = torch.nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss
    step()
    start = time.perf_counter_ns()
    for _ in range(epochs):
        loss = step()
    loss.item()
    print(time.perf_counter_ns() - start, flush=True)
";

/// Says ncnn's version; then, for each line, how long the product of two matrices of 512 x 512 takes on the
/// device of the name that it is given, from the host's memory and back.
pub const NCNN_PRODUCT: &str = "
import os, sys, time
say = os.fdopen(os.dup(1), 'w', buffering=1)
os.dup2(2, 1)
import ncnn, numpy
names = [ncnn.get_gpu_info(i).device_name() for i in range(ncnn.get_gpu_count())]
net = ncnn.Net()
for name in ('packed', 'storage', 'arithmetic'):
    setattr(net.opt, 'use_fp16_' + name, False)
net.opt.use_vulkan_compute = True
net.set_vulkan_device(names.index(sys.argv[1]))
net.load_param_mem('7767517\\n3 3\\nInput a 0 1 a\\nInput b 0 1 b\\nGemm c 2 1 a b c\\n')
net.load_model(ncnn.DataReaderFromEmpty())
a, b = (numpy.full((512, 512), value, 'float32') for value in (0.5, 0.25))
print('ncnn', ncnn.__version__, file=say)
for line in sys.stdin:
    start = time.perf_counter_ns()
    extractor = net.create_extractor()
    extractor.input('a', ncnn.Mat(a))
    extractor.input('b', ncnn.Mat(b))
    product = numpy.array(extractor.extract('c')[1])
    took = time.perf_counter_ns() - start
    assert product.shape == (512, 512) and (product == 64).all()
    print(took, file=say)
";

/// The same of grilly.
pub const GRILLY_PRODUCT: &str = "
import os, sys, time
say = os.fdopen(os.dup(1), 'w', buffering=1)
os.dup2(2, 1)
import importlib.metadata, numpy, vulkan
instance = vulkan.vkCreateInstance(vulkan.VkInstanceCreateInfo(), None)
properties = map(vulkan.vkGetPhysicalDeviceProperties, vulkan.vkEnumeratePhysicalDevices(instance))
os.environ['VK_GPU_INDEX'] = str([p.deviceName for p in properties].index(sys.argv[1]))
from grilly.backend.compute import VulkanCompute
compute = VulkanCompute()
a, b = (numpy.full((512, 512), value, 'float32') for value in (0.5, 0.25))
print('grilly', importlib.metadata.version('grilly'), file=say)
for line in sys.stdin:
    start = time.perf_counter_ns()
    product = compute.fnn.gemm(a, b)
    took = time.perf_counter_ns() - start
    assert product.shape == (512, 512) and (product == 64).all()
    print(took, file=say)
";

/// The same of grilly, on the device of the name that it is given.
pub const GRILLY_TRAINING: &str = "
import os, sys, time
say = os.fdopen(os.dup(1), 'w', buffering=1)
os.dup2(2, 1)
import importlib.metadata, itertools, numpy, vulkan
instance = vulkan.vkCreateInstance(vulkan.VkInstanceCreateInfo(), None)
properties = map(vulkan.vkGetPhysicalDeviceProperties, vulkan.vkEnumeratePhysicalDevices(instance))
os.environ['VK_GPU_INDEX'] = str([p.deviceName for p in properties].index(sys.argv[1]))
from grilly import nn
from grilly.nn.loss import CrossEntropyLoss
from grilly.optim import Adam
print('grilly', importlib.metadata.version('grilly'), file=say)
for line in sys.stdin:
    epochs, batch, *sizes = map(int, line.split())
    layers = [[nn.Linear(a, b), nn.ReLU()] for a, b in itertools.pairwise(sizes)]
    model = nn.Sequential(*list(itertools.chain(*layers))[:-1])
    x = numpy.random.randn(batch, sizes[0]).astype('float32')
    y = numpy.eye(sizes[-1], dtype='float32')[numpy.random.randint(0, sizes[-1], batch)]
    optimizer, criterion = Adam(model.parameters(), lr=0.01), CrossEntropyLoss()
    def step():
        optimizer.zero_grad()
        out = model(x)
        loss = criterion(out, y)
        model.backward(criterion.backward(1.0, out, y))
        optimizer.step()
        return loss
    step()
    start = time.perf_counter_ns()
    for _ in range(epochs):
        loss = float(step())
    took = time.perf_counter_ns() - start
    assert numpy.isfinite(loss)
    print(took, file=say)
";

impl Python {
    /// Starts a script where the environment names a Python. Gives the line it says first too.
    ///
    /// # Errors
    /// When that Python lacks what the script imports.
    pub fn start(script: &str) -> Result<Option<(Python, String)>> {
        Python::start_named(PYTHON, script, &[])
    }

    /// The same of the Python that this variable names, with arguments.
    ///
    /// # Errors
    /// When that Python lacks what the script imports.
    pub fn start_named(
        variable: &str,
        script: &str,
        args: &[&str],
    ) -> Result<Option<(Python, String)>> {
        let Some(python) = std::env::var_os(variable) else { return Ok(None) };
        let mut child = Command::new(&python)
            .args(["-c", script])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {}", python.display()))?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let output = BufReader::new(output.context("a process without output")?);
        let mut python = Python { child, input, output };
        let version = python
            .answer()
            .with_context(|| format!("{variable} names no Python with what is measured"))?;
        Ok(Some((python, version)))
    }

    /// How long it takes to do what a line says.
    ///
    /// # Errors
    /// When it fails.
    pub fn ask(&mut self, line: impl std::fmt::Display) -> Result<Duration> {
        let input = self.input.as_mut().context("a process without input")?;
        writeln!(input, "{line}")?;
        Ok(Duration::from_nanos(self.answer()?.parse()?))
    }

    fn answer(&mut self) -> Result<String> {
        let mut line = String::new();
        ensure!(self.output.read_line(&mut line)? > 0, "the process ended");
        Ok(line.trim().to_owned())
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // Without input it ends.
        self.input = None;
        let _ = self.child.wait();
    }
}
