//! Who shares memory, who copies it, and what is refused: the statements one by one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use num_complex::Complex;
use numpack_interop::dlpack::{self, Copied};
use numpack_interop::{
    ArrayInterface, Device, DeviceMemory, Error, Nested, Result, Scalar, Storage, Tensor,
    as_tensor, dtype::DType, from_memory, from_numpy, tensor,
};

/// A device whose memory only it can reach, and which counts what crosses over.
#[derive(Debug, Default)]
struct Island {
    uploaded: AtomicUsize,
    downloaded: AtomicUsize,
}

struct IslandMemory {
    device: Arc<Island>,
    bytes: Vec<u8>,
}

impl Device for Island {
    fn name(&self) -> String {
        "island:0".to_owned()
    }

    fn upload(self: Arc<Self>, bytes: &[u8]) -> Result<Box<dyn DeviceMemory>> {
        self.uploaded.fetch_add(bytes.len(), Ordering::SeqCst);
        Ok(Box::new(IslandMemory { bytes: bytes.to_vec(), device: self }))
    }
}

impl DeviceMemory for IslandMemory {
    fn device(&self) -> Arc<dyn Device> {
        self.device.clone()
    }

    fn nbytes(&self) -> usize {
        self.bytes.len()
    }

    fn download(&self, offset: usize, out: &mut [u8]) -> Result<()> {
        self.device.downloaded.fetch_add(out.len(), Ordering::SeqCst);
        out.copy_from_slice(&self.bytes[offset..offset + out.len()]);
        Ok(())
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

#[test]
fn a_device_is_a_copy_away() {
    let island = Arc::new(Island::default());
    let device: Arc<dyn Device> = island.clone();
    let t = Tensor::from_slice(&(0..12).collect::<Vec<i32>>(), &[3, 4]).unwrap();
    assert_eq!(t.device(), "cpu");
    assert!(t.cpu().unwrap().storage().is_same(t.storage()), "on the host nothing is copied");
    let there = t.t().unwrap().to_device(&device).unwrap();
    assert_eq!((there.device().as_str(), there.shape()), ("island:0", &[4, 3][..]));
    t.fill(0).unwrap();

    let said = refusal(there.numpy());
    assert_eq!(said, "the tensor is on island:0; move it to the host with .cpu() first");
    for said in [
        refusal(dlpack::to_dlpack(&there, Copied::No)),
        refusal(there.to_vec::<i32>()),
        refusal(there.fill(1)),
        refusal(there.clone()),
        refusal(there.data_ptr()),
        refusal(t.copy_from(&there.t().unwrap())),
    ] {
        assert!(said.contains("island:0"), "{said}");
    }

    // Views are only numbers, and only what they show comes over.
    let column = there.select(1, 1).unwrap();
    assert!(column.storage().is_same(there.storage()));
    let back = column.cpu().unwrap();
    assert_eq!(back.to_vec::<i32>().unwrap(), [4, 5, 6, 7]);
    assert_eq!(island.uploaded.load(Ordering::SeqCst), 48);
    assert_eq!(island.downloaded.load(Ordering::SeqCst), 40);
    let none = there.narrow(0, 4, 0).unwrap().cpu().unwrap();
    assert_eq!((none.shape(), none.numel()), (&[0, 3][..], 0));

    let mut theirs = Theirs::of(&[1.5_f32, 2.5]);
    let array = theirs.array("<f4", &[2]);
    // SAFETY: the memory is there as long as it is used.
    let t = unsafe { as_tensor(&array, None, Some(&device), theirs.release()) }.unwrap();
    assert_eq!((t.device(), theirs.released()), ("island:0".to_owned(), 1));
    // SAFETY: as above.
    let t = unsafe { tensor(&array, Some(DType::FLOAT64), Some(&device), true) }.unwrap();
    assert!(t.requires_grad());
    let back = t.cpu().unwrap();
    assert!(back.requires_grad());
    assert_eq!(back.to_vec::<f64>().unwrap(), [1.5, 2.5]);
}

/// Memory as another library has it, which counts how often it was given back.
struct Theirs {
    data: Vec<u64>,
    released: Arc<AtomicUsize>,
}

impl Theirs {
    fn new(bytes: &[u8]) -> Theirs {
        let mut data = vec![0; bytes.len().div_ceil(8)];
        bytemuck::cast_slice_mut::<u64, u8>(&mut data)[..bytes.len()].copy_from_slice(bytes);
        Theirs { data, released: Arc::default() }
    }

    fn of<T: bytemuck::Pod>(values: &[T]) -> Theirs {
        Theirs::new(bytemuck::cast_slice(values))
    }

    fn array<'a>(&mut self, typestr: &'a str, shape: &'a [usize]) -> ArrayInterface<'a> {
        let data = self.data.as_mut_ptr().cast();
        ArrayInterface { data, read_only: false, typestr, shape, strides: None }
    }

    fn release(&self) -> impl FnOnce() + Send + use<> {
        let released = Arc::clone(&self.released);
        move || {
            released.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn released(&self) -> usize {
        self.released.load(Ordering::SeqCst)
    }

    fn share(&mut self, array: &ArrayInterface<'_>) -> Result<Tensor> {
        // SAFETY: every test drops the tensor before the memory, and uses one of them at a time.
        unsafe { from_numpy(array, self.release()) }
    }

    fn as_tensor(&mut self, array: &ArrayInterface<'_>, dtype: Option<DType>) -> Result<Tensor> {
        // SAFETY: as above.
        unsafe { as_tensor(array, dtype, None, self.release()) }
    }

    fn copy(&mut self, array: &ArrayInterface<'_>, dtype: Option<DType>) -> Result<Tensor> {
        // SAFETY: as above.
        unsafe { tensor(array, dtype, None, false) }
    }
}

fn refusal<T>(result: Result<T>) -> String {
    match result {
        Err(e @ Error::Sharing { .. }) => e.to_string(),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was not refused"),
    }
}

#[test]
fn from_numpy_shares_and_both_sides_see_changes() {
    let mut theirs = Theirs::of(&[1.0_f32, 2.0, 3.0]);
    let array = theirs.array("<f4", &[3]);
    let t = theirs.share(&array).unwrap();
    assert_eq!(t.data_ptr().unwrap(), array.data);
    assert_eq!(t.dtype(), DType::FLOAT32);
    // SAFETY: the first of three floats; nothing else looks at it now.
    unsafe { array.data.cast::<f32>().write(99.0) };
    assert_eq!(t.to_vec::<f32>().unwrap(), [99.0, 2.0, 3.0]);
    t.set(&[1], -7.0).unwrap();
    // SAFETY: as above.
    assert_eq!(unsafe { array.data.cast::<f32>().wrapping_add(1).read() }, -7.0);
    drop(t);
    assert_eq!(theirs.released(), 1);
}

#[test]
fn the_type_is_kept() {
    let table = [
        ("|b1", DType::BOOL),
        ("|u1", DType::UINT8),
        ("<u2", DType::UINT16),
        ("<u4", DType::UINT32),
        ("<u8", DType::UINT64),
        ("|i1", DType::INT8),
        ("<i2", DType::INT16),
        ("<i4", DType::INT32),
        ("<i8", DType::INT64),
        ("<f2", DType::FLOAT16),
        ("<f4", DType::FLOAT32),
        ("<f8", DType::FLOAT64),
        ("<c8", DType::COMPLEX64),
        ("<c16", DType::COMPLEX128),
    ];
    for (typestr, dtype) in table {
        let mut theirs = Theirs::new(&[0; 32]);
        let array = theirs.array(typestr, &[2]);
        let t = theirs.share(&array).unwrap();
        assert_eq!((t.dtype(), t.itemsize()), (dtype, dtype.size()));
        let back = t.numpy().unwrap();
        assert_eq!(back.interface().typestr, typestr);
        assert_eq!(back.interface().data, array.data);
    }
}

#[test]
fn what_from_numpy_refuses_says_what_to_do() {
    const COPY: &str = "; copy it with tensor(), or let as_tensor() choose";
    let mut theirs = Theirs::of(&[1.0_f64, 2.0, 3.0, 4.0]);
    let plain = theirs.array("<f8", &[2]);

    let read_only = ArrayInterface { read_only: true, ..plain };
    assert_eq!(
        refusal(theirs.share(&read_only)),
        format!("the array is read-only, and a tensor that shares it could be written to{COPY}")
    );
    let backwards = ArrayInterface {
        data: plain.data.wrapping_add(24),
        shape: &[4],
        strides: Some(&[-8]),
        ..plain
    };
    assert_eq!(
        refusal(theirs.share(&backwards)),
        format!("the array has negative strides [-8]{COPY}")
    );
    let odd = ArrayInterface { strides: Some(&[12]), ..plain };
    assert_eq!(
        refusal(theirs.share(&odd)),
        format!("the array has strides [12], not multiples of its elements' 8 bytes{COPY}")
    );
    let foreign = ArrayInterface { typestr: ">f8", ..plain };
    assert_eq!(
        refusal(theirs.share(&foreign)),
        format!("the array's elements >f8 are in the other byte order{COPY}")
    );
    let misaligned = ArrayInterface { data: plain.data.wrapping_add(1), ..plain };
    assert_eq!(
        refusal(theirs.share(&misaligned)),
        format!("the array is misaligned: its data is at no multiple of 8 bytes{COPY}")
    );
    for typestr in ["|O", "<U3", "|S2", "<M8[ns]", "|V16"] {
        let other = ArrayInterface { typestr, ..plain };
        let said = theirs.share(&other).unwrap_err();
        assert!(matches!(said, Error::Type { .. }), "{said}");
        assert!(said.to_string().contains(&format!("{typestr:?}")), "{said}");
        assert!(matches!(theirs.as_tensor(&other, None), Err(Error::Type { .. })));
        assert!(matches!(theirs.copy(&other, None), Err(Error::Type { .. })));
    }
    assert_eq!(theirs.released(), 0, "what was not taken is not given back");
}

#[test]
fn as_tensor_copies_what_cannot_be_shared() {
    let mut theirs = Theirs::of(&[1.1_f64, 2.2, 3.3]);
    let array = theirs.array("<f8", &[3]);
    let shared = theirs.as_tensor(&array, None).unwrap();
    assert_eq!(shared.data_ptr().unwrap(), array.data);
    assert_eq!(theirs.released(), 0);
    drop(shared);
    let same = theirs.as_tensor(&array, Some(DType::FLOAT64)).unwrap();
    assert_eq!(same.data_ptr().unwrap(), array.data);
    drop(same);
    assert_eq!(theirs.released(), 2);

    let converted = theirs.as_tensor(&array, Some(DType::FLOAT32)).unwrap();
    assert_eq!(theirs.released(), 3, "after a copy the memory is free");
    // SAFETY: nothing else looks at it.
    unsafe { array.data.cast::<f64>().write(333.0) };
    assert_eq!(converted.to_vec::<f32>().unwrap(), [1.1, 2.2, 3.3]);

    let others = [
        ArrayInterface { read_only: true, ..array },
        ArrayInterface { data: array.data.wrapping_add(16), strides: Some(&[-8]), ..array },
    ];
    for (other, want) in others.iter().zip([[333.0, 2.2, 3.3], [3.3, 2.2, 333.0]]) {
        let t = theirs.as_tensor(other, None).unwrap();
        assert!(!t.is_read_only());
        assert_eq!(t.to_vec::<f64>().unwrap(), want);
        t.fill(0).unwrap();
    }
    // SAFETY: nothing else looks at it.
    assert_eq!(unsafe { array.data.cast::<f64>().read() }, 333.0);

    let mut big = Theirs::new(&[0, 1, 0, 2, 3, 4]);
    let foreign = big.array(">u2", &[3]);
    assert_eq!(big.as_tensor(&foreign, None).unwrap().to_vec::<u16>().unwrap(), [1, 2, 0x304]);
    let mut complex = Theirs::new(&[0x3f, 0x80, 0, 0, 0xbf, 0x80, 0, 0]);
    let foreign = complex.array(">c8", &[]);
    let t = complex.as_tensor(&foreign, None).unwrap();
    assert_eq!(t.item().unwrap(), Scalar::complex(1.0, -1.0));
    let mut packed = Theirs::new(&[9, 1, 0, 2, 9, 3, 0, 4]);
    let packed_array = packed.array("<u2", &[2]);
    let packed_array = ArrayInterface {
        data: packed_array.data.wrapping_add(1),
        strides: Some(&[3]),
        ..packed_array
    };
    let t = packed.as_tensor(&packed_array, None).unwrap();
    assert_eq!(t.to_vec::<u16>().unwrap(), [1, 0x0309]);
}

#[test]
fn tensor_always_copies() {
    let mut theirs = Theirs::of(&[10_i64, 20, 30]);
    let array = theirs.array("<i8", &[3]);
    let t = theirs.copy(&array, None).unwrap();
    assert_ne!(t.data_ptr().unwrap(), array.data);
    // SAFETY: nothing else looks at it.
    unsafe { array.data.cast::<i64>().write(123) };
    assert_eq!(t.to_vec::<i64>().unwrap(), [10, 20, 30]);
    let t = theirs.copy(&array, Some(DType::FLOAT32)).unwrap();
    assert_eq!(t.to_vec::<f32>().unwrap(), [123.0, 20.0, 30.0]);
    // SAFETY: the memory is there during the call.
    let t = unsafe { tensor(&array, Some(DType::FLOAT32), None, true) }.unwrap();
    assert!(t.requires_grad());
    // SAFETY: as above.
    let t = unsafe { tensor(&array, None, None, true) };
    assert_eq!(
        t.unwrap_err().to_string(),
        "a tensor of int64 has no gradient; convert it to a float type first"
    );
}

#[test]
fn strided_views_and_fortran_order_share() {
    let mut theirs = Theirs::of(&(0..10).map(|i| i as f32).collect::<Vec<_>>());
    let array = ArrayInterface { strides: Some(&[8]), ..theirs.array("<f4", &[5]) };
    let t = theirs.share(&array).unwrap();
    assert!(!t.is_contiguous());
    assert_eq!((t.strides(), t.data_ptr().unwrap()), (&[2][..], array.data));
    t.set(&[1], 999.0).unwrap();
    // SAFETY: one of ten floats; nothing else looks at it.
    assert_eq!(unsafe { array.data.cast::<f32>().wrapping_add(2).read() }, 999.0);
    drop(t);

    let mut theirs = Theirs::of(&[0_i64, 3, 1, 4, 2, 5]);
    let array = ArrayInterface { strides: Some(&[8, 16]), ..theirs.array("<i8", &[2, 3]) };
    let t = theirs.share(&array).unwrap();
    assert!(!t.is_contiguous());
    assert_eq!(t.to_vec::<i64>().unwrap(), [0, 1, 2, 3, 4, 5]);
    let c = t.contiguous().unwrap();
    assert!(c.is_contiguous() && !c.storage().is_same(t.storage()));
    c.fill(0).unwrap();
    assert_eq!(t.get(&[1, 2]).unwrap(), Scalar::Int(5));
    let back = t.numpy().unwrap();
    assert_eq!(back.interface().strides, Some(&[8, 16][..]));
}

#[test]
fn numpy_shares_and_refuses() {
    let t = Tensor::from_slice(&[1.0_f32, 2.0, 3.0], &[3]).unwrap();
    let array = t.numpy().unwrap();
    assert_eq!(array.interface().data, t.data_ptr().unwrap());
    assert!(!array.interface().read_only);
    t.set(&[0], 99.0).unwrap();
    // SAFETY: the array keeps the memory; nothing writes it now.
    assert_eq!(unsafe { array.interface().data.cast::<f32>().read() }, 99.0);
    drop(t);
    // SAFETY: as above; the tensor is gone, its memory is not.
    assert_eq!(unsafe { array.interface().data.cast::<f32>().wrapping_add(2).read() }, 3.0);

    let mut t = Tensor::from_slice(&[1.0_f32], &[1]).unwrap();
    t.set_requires_grad(true).unwrap();
    let said = refusal(t.numpy());
    assert!(said.ends_with("; call .detach() first"), "{said}");
    assert_eq!(t.detach().numpy().unwrap().interface().data, t.data_ptr().unwrap());
    assert!(t.requires_grad() && !t.detach().requires_grad());
    assert!(t.alias().requires_grad() && t.unsqueeze(0).unwrap().requires_grad());

    let half = Tensor::zeros(&[2], DType::BFLOAT16).unwrap();
    let said = half.numpy().unwrap_err();
    assert!(matches!(said, Error::Type { .. }));
    assert_eq!(
        said.to_string(),
        "NumPy has no bfloat16; convert it with to_dtype, to float32 for instance"
    );
    let lent = Tensor::new(Storage::from_owner([1_u8, 2]), DType::UINT8, &[2], &[1], 0).unwrap();
    assert!(lent.numpy().unwrap().interface().read_only);
}

#[test]
fn clones_are_independent_and_detached_ones_share() {
    let t = Tensor::from_slice(&[1, 2, 3_i32], &[3]).unwrap();
    let (copy, same) = (t.clone().unwrap(), t.detach());
    t.set(&[0], 9).unwrap();
    assert_eq!(copy.to_vec::<i32>().unwrap(), [1, 2, 3]);
    assert_eq!(same.to_vec::<i32>().unwrap(), [9, 2, 3]);
    assert!(same.storage().is_same(t.storage()) && !copy.storage().is_same(t.storage()));
    assert!(t.to_dtype(DType::INT32).unwrap().storage().is_same(t.storage()));
    assert!(!t.to_dtype(DType::INT64).unwrap().storage().is_same(t.storage()));
}

#[test]
fn the_owner_lives_as_long_as_any_view() {
    let mut theirs = Theirs::of(&[1_i32, 2, 3, 4]);
    let array = theirs.array("<i4", &[2, 2]);
    let t = theirs.share(&array).unwrap();
    let row = t.select(0, 1).unwrap();
    let one = row.select(0, 0).unwrap();
    let numpy = one.numpy().unwrap();
    let given = dlpack::to_dlpack(&row, Copied::No).unwrap();
    drop(t);
    drop(row);
    drop(one);
    assert_eq!(theirs.released(), 0);
    drop(numpy);
    assert_eq!(theirs.released(), 0);
    // SAFETY: given above, and taken once.
    let taken = unsafe { dlpack::from_dlpack(given) }.unwrap();
    assert_eq!(taken.to_vec::<i32>().unwrap(), [3, 4]);
    let last = std::thread::spawn(move || drop(taken));
    last.join().unwrap();
    assert_eq!(theirs.released(), 1);
}

#[test]
fn values_in_lists_become_tensors_as_in_torch() {
    let of = |values: &Nested| Tensor::from_nested(values, None);
    let t = of(&Nested::from(vec![vec![1.0, 2.0], vec![3.0, 4.0]])).unwrap();
    assert_eq!((t.dtype(), t.shape()), (DType::FLOAT32, &[2, 2][..]));
    assert_eq!(of(&Nested::from([1, 2])).unwrap().dtype(), DType::INT64);
    assert_eq!(of(&Nested::from([true, false])).unwrap().dtype(), DType::BOOL);
    assert_eq!(of(&Nested::from(Complex::new(1.0, 2.0))).unwrap().dtype(), DType::COMPLEX64);
    let scalar = of(&Nested::from(5)).unwrap();
    assert_eq!((scalar.ndim(), scalar.item().unwrap()), (0, Scalar::Int(5)));
    let mixed = Nested::List(vec![true.into(), 2.into(), 2.5.into()]);
    let mixed = of(&mixed).unwrap();
    assert_eq!(mixed.to_vec::<f32>().unwrap(), [1.0, 2.0, 2.5]);
    let none = of(&Nested::List(Vec::new())).unwrap();
    assert_eq!((none.dtype(), none.shape()), (DType::FLOAT32, &[0][..]));
    let doubles = Tensor::from_nested(&Nested::from([0.1]), Some(DType::FLOAT64)).unwrap();
    assert_eq!(doubles.to_vec::<f64>().unwrap(), [0.1]);

    let said = of(&Nested::from(vec![vec![1, 2, 3], vec![4]])).unwrap_err().to_string();
    assert_eq!(
        said,
        "a list of dimension 1 has 1 elements and the first has 3; make all lists of a dimension \
         as long"
    );
    let uneven = Nested::List(vec![Nested::from([1]), Nested::from(2)]);
    assert!(of(&uneven).unwrap_err().to_string().contains("a value among the lists"));
    let said = Tensor::from_nested(&Nested::from(300), Some(DType::UINT8)).unwrap_err();
    assert_eq!(said.to_string(), "Int(300) is out of the range of uint8");
    assert!(of(&Nested::from(u64::MAX)).is_err());
    let t = Tensor::from_nested(&Nested::from(u64::MAX), Some(DType::UINT64)).unwrap();
    assert_eq!(t.item().unwrap(), Scalar::UInt(u64::MAX));
}

#[test]
fn memory_of_any_type_is_shared() {
    let mut theirs = Theirs::of(&[0x3f80_u16, 0x4000, 0x4040, 0x4080]);
    let memory = numpack_interop::Memory {
        data: theirs.data.as_mut_ptr().cast(),
        nbytes: 8,
        read_only: true,
        dtype: DType::BFLOAT16,
        shape: &[3],
        strides: Some(&[-2]),
        offset: 6,
    };
    // SAFETY: the tensor goes before the memory.
    let t = unsafe { from_memory(&memory, theirs.release()) }.unwrap();
    assert_eq!(t.to_dtype(DType::FLOAT32).unwrap().to_vec::<f32>().unwrap(), [4.0, 3.0, 2.0]);
    let said = refusal(t.fill(0));
    assert_eq!(said, "the tensor's memory is read-only; clone it, and write to the copy");
    t.clone().unwrap().fill(0).unwrap();
    drop(t);
    assert_eq!(theirs.released(), 1);
    for (shape, strides, offset) in
        [(&[5][..], None, 0), (&[1], None, 8), (&[2], Some(&[-2][..]), 0), (&[2], Some(&[1]), 0)]
    {
        let wrong = numpack_interop::Memory { shape, strides, offset, ..memory };
        // SAFETY: nothing is taken.
        let said = unsafe { from_memory(&wrong, theirs.release()) };
        assert!(matches!(said, Err(Error::Parameter(_))), "{said:?}");
    }
    assert_eq!(theirs.released(), 1);
}

#[test]
fn use_beside_a_write_is_refused() {
    let t = Tensor::from_slice(&[1.0_f32, 2.0], &[2]).unwrap();
    let view = t.slice(0, Some(1), None, 1).unwrap();
    let looking = t.elements::<f32>().unwrap();
    assert_eq!(view.to_vec::<f32>().unwrap(), [2.0], "many may look");
    assert!(matches!(view.fill(0.0), Err(Error::InUse("being read"))));
    drop(looking);
    let mut writing = view.elements_mut::<f32>().unwrap();
    assert!(matches!(t.get(&[0]), Err(Error::InUse("being written"))));
    assert!(matches!(t.elements_mut::<f32>(), Err(Error::InUse("being written"))));
    writing[0] = 5.0;
    drop(writing);
    assert_eq!(t.to_vec::<f32>().unwrap(), [1.0, 5.0]);
}

#[test]
fn a_byte_that_is_no_truth_value_is_none() {
    let mut theirs = Theirs::of(&[1_u8, 0, 2]);
    let array = theirs.array("|b1", &[3]);
    let t = theirs.share(&array).unwrap();
    assert_eq!(t.narrow(0, 0, 2).unwrap().to_vec::<bool>().unwrap(), [true, false]);
    assert!(matches!(t.elements::<bool>(), Err(Error::Parameter(_))));
    assert!(matches!(t.elements_mut::<bool>(), Err(Error::Parameter(_))));
    assert_eq!(t.elements::<u8>().unwrap()[2], 2);
    assert_eq!(t.get(&[2]).unwrap(), Scalar::Bool(true));
    // What failed has left no mark.
    t.fill(true).unwrap();
    assert_eq!(t.to_vec::<bool>().unwrap(), [true; 3]);
}

#[test]
fn many_threads_share_one_storage() {
    let n = if cfg!(miri) { 40 } else { 2_000 };
    let t = Tensor::from_slice(&(0..64).collect::<Vec<i64>>(), &[8, 8]).unwrap();
    let written = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for row in 0..4 {
            let (t, written) = (&t, &written);
            scope.spawn(move || {
                let mine = t.select(0, row).unwrap();
                for i in 0..n {
                    // A row is always seen whole: as it was, or as one write has left it.
                    match mine.to_vec::<i64>() {
                        Ok(all) => {
                            let steps: Vec<i64> = all.windows(2).map(|w| w[1] - w[0]).collect();
                            assert!(steps.iter().all(|&s| s == steps[0]), "{all:?}");
                        }
                        Err(e) => assert!(matches!(e, Error::InUse("being written")), "{e}"),
                    }
                    match mine.fill(i) {
                        Ok(()) => {
                            written.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(e) => assert!(matches!(e, Error::InUse(_)), "{e}"),
                    }
                }
            });
        }
    });
    assert!(written.into_inner() > 0);
    assert_eq!(t.narrow(0, 4, 4).unwrap().to_vec::<i64>().unwrap()[0], 32);
}

#[test]
fn what_dlpack_gives_can_be_taken() {
    let t = Tensor::from_slice(&(0..6).collect::<Vec<i16>>(), &[2, 3]).unwrap();
    let turned = t.transpose(0, 1).unwrap();
    let given = dlpack::to_dlpack_legacy(&turned, Copied::No).unwrap();
    // SAFETY: just given, and taken once.
    let taken = unsafe { dlpack::from_dlpack_legacy(given) }.unwrap();
    assert_eq!((taken.shape(), taken.strides()), (&[3, 2][..], &[1, 3][..]));
    assert_eq!(taken.data_ptr().unwrap(), t.data_ptr().unwrap());

    let given = dlpack::to_dlpack(&turned, Copied::Yes).unwrap();
    // SAFETY: given, and not taken yet.
    assert_eq!(unsafe { (*given).flags }, dlpack::FLAG_IS_COPIED);
    // SAFETY: as above.
    let copy = unsafe { dlpack::from_dlpack(given) }.unwrap();
    t.fill(0).unwrap();
    assert_eq!(copy.to_vec::<i16>().unwrap(), [0, 3, 1, 4, 2, 5]);

    let lent = Tensor::new(Storage::from_owner([1_u8, 2]), DType::UINT8, &[2], &[1], 0).unwrap();
    let said = refusal(dlpack::to_dlpack_legacy(&lent, Copied::No));
    assert!(said.starts_with("the tensor's memory is read-only"), "{said}");
    let given = dlpack::to_dlpack(&lent, Copied::No).unwrap();
    // SAFETY: given, and taken once.
    let taken = unsafe { dlpack::from_dlpack(given) }.unwrap();
    assert!(taken.is_read_only());

    let mut t = Tensor::zeros(&[], DType::FLOAT64).unwrap();
    t.set_requires_grad(true).unwrap();
    let said = refusal(dlpack::to_dlpack(&t, Copied::No));
    assert!(said.ends_with("call .detach() first"), "{said}");
}

#[test]
fn dlpack_structs_that_cannot_be_are_refused() {
    let t = Tensor::from_slice(&[1.0_f32, 2.0], &[2]).unwrap();
    let edit = |change: &dyn Fn(&mut dlpack::DLManagedTensorVersioned)| {
        let given = dlpack::to_dlpack(&t, Copied::No).unwrap();
        // SAFETY: given, and not taken yet.
        let managed = unsafe { &mut *given };
        let kept = (managed.dl_tensor, managed.version);
        change(managed);
        // SAFETY: what was changed is found before the memory is looked at.
        let taken = unsafe { dlpack::from_dlpack(given) };
        let refused = taken.as_ref().err().map(ToString::to_string);
        match taken {
            Ok(taken) => drop(taken),
            Err(_) => {
                // SAFETY: it was not taken.
                let managed = unsafe { &mut *given };
                (managed.dl_tensor, managed.version) = kept;
                let deleter = managed.deleter.unwrap();
                // SAFETY: it was not taken, so the giver's deleter is called here.
                unsafe { deleter(given) };
            }
        }
        refused
    };
    assert_eq!(edit(&|_| ()), None);
    let said = |change: &dyn Fn(&mut dlpack::DLManagedTensorVersioned)| edit(change).unwrap();
    assert!(said(&|m| m.version.major = 2).starts_with("DLPack 2.1 is not understood"));
    assert!(
        said(&|m| m.dl_tensor.device.device_type = 2).starts_with("the tensor is on device 2:0")
    );
    assert!(said(&|m| m.dl_tensor.ndim = -1).contains("-1 dimensions"));
    assert!(said(&|m| m.dl_tensor.shape = std::ptr::null_mut()).contains("no shape"));
    assert!(said(&|m| m.dl_tensor.data = std::ptr::null_mut()).contains("NULL"));
    assert!(said(&|m| m.dl_tensor.byte_offset = 1).contains("misaligned"));
    assert!(said(&|m| m.dl_tensor.dtype.lanes = 4).contains("4 lanes"));
    assert!(said(&|m| m.dl_tensor.dtype.code = 3).contains("code 3"));
    let said = said(&|m| {
        // SAFETY: the one size of the giver's.
        unsafe { *m.dl_tensor.shape = i64::MIN };
    });
    assert!(said.contains("the shape [-9223372036854775808]"), "{said}");
    // SAFETY: NULL is looked for.
    assert!(unsafe { dlpack::from_dlpack(std::ptr::null_mut()) }.is_err());
}
