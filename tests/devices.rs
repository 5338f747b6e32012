//! Devices, tensors and the recorder.

mod common;

use common::{Within, assert_all, normal, wide};
use wgrad::{
    Activation, DType, Device, DeviceKind, DeviceOptions, Error, Gated, Loss, OutputLayer,
    Preference, Prelu, Reduction, Sgd, Shape, Tensor, reference, wgpu,
};

on_every_device! {
    fn tensors_are_read_into_memory_of_the_caller(device) {
        for count in [0, 1, 1000, 300_001] {
            let z = device.tensor(&normal(count, 1.0, 5), [count]).unwrap();
            let y = Activation::Tanh.forward(&z).unwrap();
            let mut values = vec![7.0; count];
            y.read_into(&mut values).unwrap();
            assert_eq!(values, y.to_vec().unwrap());
            let half = y.to_dtype(DType::F16).unwrap();
            half.read_into(&mut values).unwrap();
            assert_eq!(values, half.to_vec().unwrap());
            assert!(matches!(y.read_into(&mut vec![0.0; count + 1]), Err(Error::ShapeMismatch { .. })));
            let recorded = device.record(|| y.read_into(&mut vec![0.0; count]));
            assert!(matches!(recorded, Err(Error::Unsupported { .. })));
        }
    }

    fn what_is_uploaded_comes_back(device) {
        for length in [0, 1, 3, 64, 1000, 16_384, 16_385, 1_000_003] {
            let values = normal(length, 1.0, 1);
            let tensor = device.tensor(&values, [length]).unwrap();
            assert_eq!(tensor.to_vec().unwrap(), values);
            assert_eq!((tensor.len(), tensor.is_empty()), (length, length == 0));
        }
        let zeros = device.zeros([3, 5]).unwrap();
        assert_eq!(zeros.to_vec().unwrap(), [0.0; 15]);
        Activation::Relu.forward(&zeros).unwrap();
    }

    fn bits_are_kept(device) {
        let bits = [0u32, 0x8000_0000, 1, 0x7f80_0000, 0xff80_0000, 0x7fc0_0001, 0x7f7f_ffff];
        let values = bits.map(f32::from_bits);
        let found = device.tensor(&values, [7]).unwrap().to_vec().unwrap();
        assert_eq!(found.iter().map(|value| value.to_bits()).collect::<Vec<_>>(), bits);
        Activation::Relu.forward(&device.zeros([1]).unwrap()).unwrap();
    }

    fn reads_work_without_blocking_too(device) {
        let z = device.tensor(&[1.0, 2.0, 3.0], [3]).unwrap();
        let futures: Vec<_> = (0..5).map(|_| Activation::Relu.forward(&z).unwrap().read()).collect();
        // Each resolves independently, in any order, even after the tensor is dropped.
        drop(z);
        for future in futures.into_iter().rev() {
            assert_eq!(pollster::block_on(future).unwrap(), [1.0, 2.0, 3.0]);
        }
        // A read that nobody waits for does no harm.
        let tensor = device.tensor(&[1.0], [1]).unwrap();
        drop(tensor.read());
        assert_eq!(tensor.item().unwrap(), 1.0);
        Activation::Relu.forward(&tensor).unwrap();
    }

    fn uploads_never_overtake_recorded_work(device) {
        // Small uploads travel with the commands, large ones separately.
        for length in [100, 100_000] {
            let z = device.tensor(&vec![1.0; length], [length]).unwrap();
            let mut results = Vec::new();
            for value in 2..40 {
                results.push(Activation::Identity.forward(&z).unwrap());
                z.write(&vec![value as f32; length]).unwrap();
            }
            for (i, result) in results.iter().enumerate() {
                let values = result.to_vec().unwrap();
                assert!(values.iter().all(|&value| value == (i + 1) as f32), "{length}, write {i}");
            }
        }
    }

    fn hundreds_of_uploads_all_arrive(device) {
        let tensors: Vec<Tensor> = (0..3000)
            .map(|i| device.tensor(&[i as f32; 37], [37]).unwrap())
            .collect();
        let large: Vec<Tensor> = (0..20)
            .map(|i| device.tensor(&vec![i as f32; 70_000], [70_000]).unwrap())
            .collect();
        for (i, tensor) in tensors.iter().enumerate().step_by(61) {
            assert_eq!(tensor.to_vec().unwrap(), [i as f32; 37]);
        }
        for (i, tensor) in large.iter().enumerate() {
            assert!(tensor.to_vec().unwrap().iter().all(|&value| value == i as f32));
        }
        Activation::Relu.forward(&tensors[0]).unwrap();
    }

    fn a_reused_buffer_brings_nothing_along(device) {
        for round in 0..50 {
            let length = 100 + round;
            let ones = device.tensor(&vec![1.0; length], [length]).unwrap();
            let y = Activation::Identity.forward(&ones).unwrap();
            drop(ones);
            let zeros = device.zeros([length]).unwrap();
            assert!(y.to_vec().unwrap().iter().all(|&value| value == 1.0));
            assert!(zeros.to_vec().unwrap().iter().all(|&value| value == 0.0));
        }
    }

    fn clones_and_reshaped_tensors_share_their_elements(device) {
        let a = device.tensor(&[1.0, 2.0, 3.0, 4.0], [4]).unwrap();
        let b = a.reshape([2, 2]).unwrap();
        let c = a.clone();
        a.write(&[5.0, 6.0, 7.0, 8.0]).unwrap();
        assert_eq!(b.to_vec().unwrap(), [5.0, 6.0, 7.0, 8.0]);
        assert_eq!(c.to_vec().unwrap(), b.to_vec().unwrap());
        assert_eq!((a.shape(), b.shape()), (&[4][..], &[2, 2][..]));
        Activation::Relu.forward(&b).unwrap();
    }

    fn several_threads_use_one_device(device) {
        std::thread::scope(|scope| {
            for thread in 0..8u64 {
                let device = device.clone();
                scope.spawn(move || {
                    for round in 0..20u64 {
                        let values = normal(300 + thread as usize, 2.0, thread * 100 + round);
                        let z = device.tensor(&values, [values.len()]).unwrap();
                        let y = Activation::Sigmoid.forward(&z).unwrap();
                        let z2 = Activation::Tanh.backward(&z, &y).unwrap();
                        let exact = reference::forward(&Activation::Sigmoid, &wide(&values), 1);
                        assert_all("sigmoid", &y.to_vec().unwrap(), &exact, Within::Ulps(2.0));
                        assert_eq!(z2.len(), values.len());
                    }
                });
            }
        });
    }

    fn one_tensor_is_written_and_read_by_several_threads(device) {
        let shared = device.zeros([5000]).unwrap();
        std::thread::scope(|scope| {
            for value in 1..5 {
                let shared = shared.clone();
                scope.spawn(move || {
                    for _ in 0..20 {
                        shared.write(&[value as f32; 5000]).unwrap();
                        let values = Activation::Identity.forward(&shared).unwrap().to_vec().unwrap();
                        // All values come from the same thread.
                        assert!(values.iter().all(|&v| v == values[0]));
                    }
                });
            }
        });
    }

    fn bad_input_is_an_error_that_names_the_numbers(device) {
        let error = device.tensor(&[1.0; 5], [2, 3]).unwrap_err();
        assert_eq!(error.to_string(), "tensor: expected 6 values for the shape [2, 3], found 5");
        let z = device.tensor(&[1.0; 6], [2, 3]).unwrap();
        let error = z.reshape([4]).unwrap_err();
        assert_eq!(error.to_string(), "reshape: expected a shape of 6 elements, found [4]");
        let error = z.write(&[0.0; 7]).unwrap_err();
        assert_eq!(error.to_string(), "write: expected 6 values for the shape [2, 3], found 7");
        assert_eq!(z.to_vec().unwrap(), [1.0; 6]);
        assert!(matches!(z.item().unwrap_err(), Error::ShapeMismatch { op: "item", .. }));
        let error = Activation::Tanh.backward(&z, &device.zeros([3, 2]).unwrap()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "backward: expected dy of shape [2, 3], which the z of tanh has, found [3, 2]"
        );
        let error = Activation::Softmax.backward_from_output(&z, &device.zeros([6]).unwrap()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "backward_from_output: expected dy of shape [2, 3], which the y of softmax has, found [6]"
        );
        let error = Activation::Relu.forward_into(&z, &device.zeros([6]).unwrap()).unwrap_err();
        assert!(matches!(error, Error::ShapeMismatch { op: "forward", .. }), "{error}");
        let other = Device::cpu().zeros([2, 3]).unwrap();
        let error = Activation::Relu.backward(&z, &other).unwrap_err();
        assert!(matches!(error, Error::DeviceMismatch { op: "backward", .. }), "{error}");
        for broken in [f32::NAN, f32::INFINITY] {
            let error = Activation::LeakyRelu { slope: broken }.forward(&z).unwrap_err();
            assert_eq!(error.to_string(), format!("slope = {broken}: must be finite"));
        }
        for result in [Activation::Softmax.derivative(&z), Activation::LogSoftmax.second_derivative(&z), Activation::Relu.jacobian(&z)] {
            assert!(matches!(result.unwrap_err(), Error::Unsupported { .. }));
        }
        // Empty, whatever the number of rows.
        let nothing = device.zeros([1usize << 61, 0]).unwrap();
        assert!(Activation::Softmax.forward(&nothing).unwrap().is_empty());
        assert!(Activation::Softmax.jacobian(&nothing).unwrap().is_empty());
        let wide = device.zeros([0, 1usize << 40]).unwrap();
        assert!(Activation::Softmax.backward(&wide, &wide).unwrap().is_empty());
        for shape in [vec![usize::MAX, 2], vec![usize::MAX / 2], vec![usize::MAX / 4], vec![1 << 40, 1 << 40]] {
            assert!(matches!(device.zeros(&shape).unwrap_err(), Error::ShapeMismatch { .. }), "{shape:?}");
        }
        // 64 TiB: no machine holds that in one tensor.
        let error = device.zeros([1usize << 44]).unwrap_err();
        assert!(matches!(error, Error::TooLarge { .. } | Error::OutOfMemory { .. }), "{error}");
        // The device still works afterwards.
        assert_eq!(Activation::Relu.forward(&z).unwrap().to_vec().unwrap(), [1.0; 6]);
    }
}

/// The index and value that cross-entropy rejects in one row of targets: a negative value.
fn refused(targets: &Tensor) -> Option<(usize, f32)> {
    let row = targets.reshape([1, targets.len()]).unwrap();
    let y = row.device().tensor(&vec![0.5; row.len()], row.shape()).unwrap();
    match Loss::cross_entropy().forward(&y, &row, Reduction::Sum) {
        Ok(_) => None,
        Err(Error::InvalidTarget { row: 0, column, value, .. }) => Some((column, value)),
        Err(error) => panic!("{error}"),
    }
}

/// The lengths cover every kind of upload and of search.
fn what_the_host_writes_is_known(device: &Device) {
    for length in [1, 5, 20_000, 100_003] {
        let with = |place: usize, value: f32| {
            let mut values = vec![0.25; length];
            values[place] = value;
            values
        };
        let last = length - 1;
        let tensor = device.tensor(&with(last, -2.0), [length]).unwrap();
        assert_eq!(refused(&tensor), Some((last, -2.0)));
        // A clone and a reshaped tensor share what the host knows, whichever is written to.
        let shared = tensor.clone().reshape([length, 1]).unwrap();
        shared.write(&with(length / 2, -1.0)).unwrap();
        assert_eq!(refused(&tensor), Some((length / 2, -1.0)));
        assert_eq!(refused(&shared), Some((length / 2, -1.0)));
        // Values that are read and uploaded again are a separate tensor.
        let copy = device.tensor(&tensor.to_vec().unwrap(), [length]).unwrap();
        tensor.write(&with(0, f32::NAN)).unwrap();
        assert_eq!((refused(&tensor), refused(&shared)), (None, None));
        assert_eq!(refused(&copy), Some((length / 2, -1.0)));
        let zeros = device.zeros([length]).unwrap();
        assert_eq!(refused(&zeros), None);
        zeros.write(&with(0, f32::NEG_INFINITY)).unwrap();
        assert_eq!(refused(&zeros), Some((0, f32::NEG_INFINITY)));
    }
}

/// Each operation that writes to an existing tensor, on one that held a negative value. The results
/// are not negative, so that none is rejected, whether or not it is checked.
fn what_an_operation_writes_is_forgotten(device: &Device) {
    let ones = device.tensor(&[1.0; 16], [4, 4]).unwrap();
    let wide = device.tensor(&[1.0; 32], [4, 8]).unwrap();
    let slope = device.tensor(&[0.5], [1]).unwrap();
    let negative = |shape: &[usize]| {
        let values = vec![-1.0; shape.iter().product()];
        let tensor = device.tensor(&values, shape).unwrap();
        assert_eq!(refused(&tensor), Some((0, -1.0)));
        tensor
    };
    let square = || negative(&[4, 4]);
    let check = |what: &str, tensor: &Tensor| {
        assert_eq!(refused(tensor), None, "{what} on {device:?}");
        // The next upload is known again.
        tensor.write(&vec![-3.0; tensor.len()]).unwrap();
        assert_eq!(refused(tensor), Some((0, -3.0)), "{what} on {device:?}");
    };
    let y = square();
    Activation::Relu.forward_into(&ones, &y).unwrap();
    check("a pointwise map", &y);
    Activation::Relu.forward_into(&y, &y).unwrap();
    check("a pointwise map in place", &y);
    Activation::Relu.backward_into(&ones, &ones, &y).unwrap();
    check("a map of two", &y);
    Activation::Softmax.forward_into(&y, &y).unwrap();
    check("a row-wise function in place", &y);
    // Rows of equal elements have the gradient 0.
    Activation::Softmax.backward_into(&ones, &ones, &y).unwrap();
    check("a product with a Jacobian", &y);
    Gated::swiglu().forward_into(&wide, &y).unwrap();
    check("a gated unit", &y);
    let dx = negative(&[4, 8]);
    Gated::swiglu().backward_into(&wide, &ones, &dx).unwrap();
    check("a gated unit's gradient", &dx);
    let prelu = Prelu::new();
    prelu.forward_into(&ones, &slope, &y).unwrap();
    check("prelu", &y);
    let gradients = prelu.backward(&ones, &slope, &ones).unwrap();
    for tensor in [&gradients.dz, &gradients.dweight] {
        tensor.write(&vec![-1.0; tensor.len()]).unwrap();
    }
    prelu.backward_into(&ones, &slope, &ones, &gradients).unwrap();
    check("prelu's gradient", &gradients.dz);
    check("prelu's weight gradient", &gradients.dweight);
    let weights = square();
    Sgd::new(1.0).step(&[(&weights, &weights)]).unwrap();
    check("a step of descent", &weights);
}

on_every_device! {
    fn bounds_of_what_the_host_writes_are_known(device) {
        what_the_host_writes_is_known(device);
    }

    fn bounds_are_forgotten_where_an_operation_writes(device) {
        what_an_operation_writes_is_forgotten(device);
    }

    fn only_a_checked_device_looks_at_what_it_made(device) {
        let options = |checked| DeviceOptions::from(device.info()).checked(checked);
        for checked in [false, true] {
            let device = pollster::block_on(Device::request(options(checked))).unwrap();
            assert_eq!((device.is_checked(), device.clone() == device), (checked, true));
            let negative = device.tensor(&[0.5, -0.5, f32::NAN, -1.0, 3.0], [5]).unwrap();
            let made = Activation::Identity.forward(&negative).unwrap();
            assert_eq!(refused(&negative), Some((3, -1.0)));
            assert_eq!(refused(&made), Some((3, -1.0)).filter(|_| checked));
            assert_eq!(refused(&Activation::Relu.forward(&negative).unwrap()), None);
            let undefined = device.tensor(&[f32::NAN; 3], [3]).unwrap();
            assert_eq!(refused(&Activation::Identity.forward(&undefined).unwrap()), None);
            assert_eq!(refused(&device.zeros([2]).unwrap()), None);
            what_the_host_writes_is_known(&device);
            what_an_operation_writes_is_forgotten(&device);
        }
        Activation::Relu.forward(&device.zeros([1]).unwrap()).unwrap();
    }
}

#[test]
fn what_the_caller_may_write_to_is_not_known() {
    for shared in common::adapters() {
        for checked in [false, true] {
            let options = DeviceOptions::from(shared.info()).checked(checked);
            let device = pollster::block_on(Device::request(options)).unwrap();
            let (_, queue) = device.wgpu().unwrap();
            let tensor = device.tensor(&[-1.0, 1.0], [2]).unwrap();
            assert_eq!(refused(&tensor), Some((0, -1.0)));
            let buffer = tensor.buffer().unwrap().clone();
            device.flush().unwrap();
            queue.write_buffer(&buffer, 0, &[2.0f32, -4.0].map(f32::to_le_bytes).concat());
            assert_eq!(refused(&tensor), Some((1, -4.0)).filter(|_| checked));
            let adopted = device.tensor_from_buffer(buffer, [2]).unwrap();
            assert_eq!(refused(&adopted), Some((1, -4.0)).filter(|_| checked));
            adopted.write(&[-5.0, -3.0]).unwrap();
            assert_eq!(refused(&adopted), Some((0, -5.0)).filter(|_| checked));
        }
    }
}

#[test]
fn the_environment_makes_devices_checked() {
    const NAME: &str = "WGRAD_CHECKED";
    let request = |options: DeviceOptions| {
        let options = options.preference(Preference::Cpu);
        pollster::block_on(Device::request(options))
    };
    assert!(!Device::cpu().is_checked());
    assert!(request(DeviceOptions::default().checked(true)).unwrap().is_checked());
    assert!(!request(DeviceOptions::default().checked(false)).unwrap().is_checked());
    let Ok(text) = std::env::var(NAME) else {
        assert!(!request(DeviceOptions::default()).unwrap().is_checked());
        // Runs this test again with each value of the variable.
        for text in ["0", "1", "maybe"] {
            let mut test = std::process::Command::new(std::env::current_exe().unwrap());
            test.args(["--exact", "the_environment_makes_devices_checked"]).env(NAME, text);
            let output = test.output().unwrap();
            let told = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success() && told.contains("1 passed"), "{text}: {told}");
        }
        return;
    };
    let opened = request(DeviceOptions::default());
    match text.as_str() {
        "0" | "1" => {
            assert_eq!(opened.unwrap().is_checked(), text == "1");
            let (adapter, device, queue) = host();
            let ours = Device::from_wgpu(&adapter, device, queue).unwrap();
            assert_eq!(ours.is_checked(), text == "1");
        }
        _ => assert!(opened.unwrap_err().to_string().contains(NAME)),
    }
}

#[test]
fn memory_is_accounted_for() {
    for shared in common::adapters().iter().chain([common::cpu()]) {
        // A separate device, because other tests allocate too.
        let device = Device::open(shared.info()).unwrap();
        assert_eq!(device.memory().in_use_bytes, 0);
        let tensor = device.zeros([1 << 20]).unwrap();
        assert_eq!(device.memory().in_use_bytes, 4 << 20);
        let second = Activation::Relu.forward(&tensor).unwrap();
        assert_eq!(device.memory().in_use_bytes, 8 << 20);
        drop((tensor, second));
        let memory = device.memory();
        assert_eq!(
            (memory.in_use_bytes, memory.pooled_bytes, memory.peak_bytes),
            (0, 8 << 20, 8 << 20)
        );
        device.trim();
        assert_eq!(device.memory().pooled_bytes, 0);
    }
}

/// The bytes of tensors and of workspace: current and peak.
fn by_purpose(device: &Device) -> [[u64; 2]; 2] {
    let memory = device.memory();
    let [tensors, workspace] = [memory.tensors, memory.workspace];
    assert_eq!(memory.in_use_bytes, tensors.current_bytes + workspace.current_bytes, "{device:?}");
    assert!(memory.peak_bytes >= memory.in_use_bytes, "{memory}");
    assert!(memory.peak_bytes <= tensors.peak_bytes + workspace.peak_bytes, "{memory}");
    [tensors, workspace].map(|of| [of.current_bytes, of.peak_bytes])
}

#[test]
fn memory_is_told_by_purpose() {
    const KIB: u64 = 1 << 10;
    for shared in common::adapters().iter().chain([common::cpu()]) {
        let device = Device::open(shared.info()).unwrap();
        let uses = || by_purpose(&device).map(|of| of.map(|bytes| bytes / KIB));
        assert_eq!((uses(), device.memory().peak_bytes), ([[0, 0], [0, 0]], 0));
        // Of a size at which no product is split into slices, whose sums would take workspace too.
        let x = device.zeros([256, 256]).unwrap();
        let w = device.zeros([256, 256]).unwrap();
        let labels = device.labels(&[1; 256]).unwrap();
        assert_eq!(uses(), [[513, 513], [0, 0]], "{device:?}");
        // The logits are workspace; the output belongs to the caller.
        let layer = OutputLayer::new(Activation::Softmax, Loss::cross_entropy());
        let y = layer.forward(&x, &w, None).unwrap();
        assert_eq!(uses(), [[769, 769], [0, 256]], "{device:?}");
        assert_eq!(device.memory().peak_bytes / KIB, 769 + 256);
        drop(y);
        assert_eq!(uses(), [[513, 769], [0, 256]], "{device:?}");
        device.reset_peak_memory();
        assert_eq!((uses(), device.memory().peak_bytes / KIB), ([[513, 513], [0, 0]], 513));
        // So are the partial sums of a loss.
        drop(Loss::Mse.forward(&x, &x, Reduction::Sum).unwrap());
        let peak = if device.info().kind.is_gpu() { 1024 } else { 256 };
        assert_eq!(by_purpose(&device)[1], [0, peak], "{device:?}");
        // The results of an operation stay in use, its workspace does not.
        device.reset_peak_memory();
        let step = layer.gradients(&x, &w, None, &labels).unwrap();
        let held = [&step.loss, &step.y, &step.dz, &step.dw, &step.db, &step.dx];
        let bytes: usize = held.iter().map(|tensor| (4 * tensor.len()).max(256)).sum();
        let [[tensors, _], [workspace, peak]] = by_purpose(&device);
        assert!((0..=256).contains(&(tensors - 513 * KIB - bytes as u64)), "{device:?}");
        assert_eq!(workspace, 0, "{device:?}");
        // dz takes the place of the logits.
        assert!(peak > 0 && peak < 256 * KIB, "{device:?}: {peak}");
        drop((x, w, labels, step));
        assert_eq!(device.memory().in_use_bytes, 0, "{device:?}");
        device.reset_peak_memory();
        assert_eq!((uses(), device.memory().peak_bytes), ([[0, 0], [0, 0]], 0));
    }
}

#[test]
fn an_output_that_is_an_input_costs_a_copy() {
    for shared in common::adapters().iter().chain([common::cpu()]) {
        let device = Device::open(shared.info()).unwrap();
        let z = device.zeros([64, 1024]).unwrap();
        Activation::Softmax.forward_into(&z, &z).unwrap();
        let one = 64 * 1024 * 4;
        // A GPU keeps the input as workspace; the CPU swaps in the new output.
        let expected = if device.info().kind.is_gpu() {
            [[one; 2], [0, one]]
        } else {
            [[one, 2 * one], [0; 2]]
        };
        assert_eq!(by_purpose(&device), expected, "{device:?}");
    }
}

#[test]
fn reads_that_are_under_way_are_staging() {
    for shared in common::adapters().iter().chain([common::cpu()]) {
        let device = Device::open(shared.info()).unwrap();
        let one = if device.info().kind.is_gpu() { 4096 } else { 0 };
        let z = device.zeros([1024]).unwrap();
        let staging = || {
            let memory = device.memory();
            // In addition to the memory in use.
            assert_eq!(memory.in_use_bytes, 4096);
            (memory.staging.current_bytes, memory.staging.peak_bytes, memory.pooled_bytes)
        };
        assert_eq!(staging(), (0, 0, 0));
        let reads = [z.read(), z.read()];
        assert_eq!(staging(), (2 * one, 2 * one, 0), "{device:?}");
        for read in reads {
            pollster::block_on(read).unwrap();
        }
        assert_eq!(staging(), (0, 2 * one, 2 * one), "{device:?}");
        device.reset_peak_memory();
        z.to_vec().unwrap();
        assert_eq!(staging(), (0, one, 2 * one), "{device:?}");
        device.trim();
        assert_eq!(staging(), (0, one, 0), "{device:?}");
    }
}

#[test]
fn enumerate_lists_the_cpu_last_and_each_can_be_opened() {
    let infos = Device::enumerate();
    assert_eq!(infos.last().unwrap().kind, DeviceKind::Cpu);
    assert!(infos.len() > 1, "no adapter; see common::adapters");
    for info in &infos {
        assert_eq!(Device::open(info).unwrap().info(), info);
    }
}

#[test]
fn devices_of_one_name_are_told_apart() {
    let mut pairs = vec![[Device::cpu(), Device::cpu()]];
    for device in common::adapters() {
        pairs.push([device.clone(), Device::open(device.info()).unwrap()]);
    }
    for [one, other] in pairs {
        let z = one.zeros([2]).unwrap();
        let error = Activation::Relu.backward(&z, &other.zeros([2]).unwrap()).unwrap_err();
        assert!(matches!(error, Error::DeviceMismatch { .. }), "{error}");
        let (text, name) = (error.to_string(), one.info().to_string());
        assert!(text.contains(&format!("{name}, opened twice")), "{text}");
        assert_eq!(text.matches(&name).count(), 1, "{text}");
        // Clones of a device can be mixed, and so can a copied tensor.
        Activation::Relu.backward(&z, &one.clone().zeros([2]).unwrap()).unwrap();
        let copy = one.tensor(&other.zeros([2]).unwrap().to_vec().unwrap(), [2]).unwrap();
        Activation::Relu.backward(&z, &copy).unwrap();
    }
    let gpu = &common::adapters()[0];
    let error = Activation::Relu
        .backward(&gpu.zeros([2]).unwrap(), &Device::cpu().zeros([2]).unwrap())
        .unwrap_err()
        .to_string();
    assert!(error.contains(&format!("({} and CPU (", gpu.info())), "{error}");
}

#[test]
fn an_interface_without_an_adapter_is_named_beside_those_that_have_one() {
    let adapter = common::adapters()[0].info();
    let elsewhere = match adapter.backend {
        Some(wgpu::Backend::Metal) => wgpu::Backends::DX12,
        _ => wgpu::Backends::METAL,
    };
    let options = DeviceOptions::default().preference(Preference::Gpu).backends(elsewhere);
    let error = pollster::block_on(Device::request(options)).unwrap_err();
    assert!(matches!(error, Error::NoAdapter { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("DeviceOptions::backends allows"), "{text}");
    assert!(text.contains(&adapter.name), "{text}");
}

#[test]
fn a_long_name_of_an_adapter_is_quoted_by_its_beginning() {
    common::adapters();
    let name = "nö ".repeat(300_000);
    let options = DeviceOptions::default().preference(Preference::Gpu).adapter_name(name);
    let text = pollster::block_on(Device::request(options)).unwrap_err().to_string();
    assert!(text.len() < 2000 && text.contains("(1200000 bytes in all)"), "{text}");
}

#[test]
fn a_software_adapter_counts_only_when_asked_for() {
    common::adapters();
    let request = |options: DeviceOptions| pollster::block_on(Device::request(options));
    let hardware = Device::enumerate()
        .iter()
        .any(|info| info.kind.is_gpu() && info.kind != DeviceKind::Software);
    let auto = request(DeviceOptions::default().preference(Preference::Auto)).unwrap();
    assert_eq!(auto.info().kind.is_gpu(), hardware);
    let allowed =
        request(DeviceOptions::default().preference(Preference::Auto).allow_software(true));
    assert!(allowed.unwrap().info().kind.is_gpu());
    assert!(Device::gpu().unwrap().info().kind.is_gpu());
    let name = common::adapters()[0].info().name.to_uppercase();
    let named = request(DeviceOptions::default().preference(Preference::Auto).adapter_name(&name));
    assert_eq!(named.unwrap().info().name.to_uppercase(), name);
    let error =
        request(DeviceOptions::default().preference(Preference::Auto).adapter_name("no such card"));
    let error = error.unwrap_err();
    assert!(matches!(error, Error::NoAdapter { .. }));
    assert!(error.to_string().contains("no such card"), "{error}");
    let none =
        DeviceOptions::default().preference(Preference::Gpu).backends(wgpu::Backends::empty());
    assert!(matches!(request(none).unwrap_err(), Error::NoAdapter { .. }));
}

/// A wgpu device such as a host application has, with default limits.
fn host() -> (wgpu::Adapter, wgpu::Device, wgpu::Queue) {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter =
        pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default()))
            .unwrap();
    let (device, queue) =
        pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor::default())).unwrap();
    (adapter, device, queue)
}

#[test]
fn a_host_applications_device_and_buffers_are_used_in_place() {
    let (adapter, device, queue) = host();
    let ours = Device::from_wgpu(&adapter, device.clone(), queue.clone()).unwrap();
    // A buffer of ten floats between two of the host's own values.
    let usage =
        wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
    let buffer = |size: u64| {
        device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size,
            usage,
            mapped_at_creation: false,
        })
    };
    let (input, output) = (buffer(40), buffer(48));
    let values = normal(10, 1.0, 3);
    let bytes =
        |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    queue.write_buffer(&input, 0, &bytes(&values));
    queue.write_buffer(&output, 0, &bytes(&[7.0; 12]));
    let z = ours.tensor_from_buffer(input.clone(), [2, 5]).unwrap();
    let y = ours.tensor_from_buffer(output.clone(), [2, 5]).unwrap();
    let exact = reference::forward(&Activation::Tanh, &wide(&values), 1);
    Activation::Tanh.forward_into(&z, &y).unwrap();
    assert_all("tanh", &y.to_vec().unwrap(), &exact, Within::Ulps(3.0));
    // The rest of the buffer belongs to the host.
    let whole = ours.tensor_from_buffer(output.clone(), [12]).unwrap().to_vec().unwrap();
    assert_eq!(whole[10..], [7.0, 7.0]);
    assert_eq!(y.buffer(), Some(&output));
    // The host writes, wgrad reads.
    ours.flush().unwrap();
    queue.write_buffer(&input, 0, &bytes(&[0.0; 10]));
    assert_eq!(Activation::Sigmoid.forward(&z).unwrap().to_vec().unwrap(), [0.5; 10]);
    // Tensors that wgrad allocates, rows and layers.
    let x = ours.tensor(&values, [2, 5]).unwrap();
    let layer = OutputLayer::new(Activation::Softmax, Loss::HalfSquaredError);
    let w = ours.tensor(&normal(15, 1.0, 4), [5, 3]).unwrap();
    let t = ours.tensor(&[0.5; 6], [2, 3]).unwrap();
    assert!(layer.gradients(&x, &w, None, &t).unwrap().loss.item().unwrap() > 0.0);

    let small = ours.tensor_from_buffer(input.clone(), [11]).unwrap_err();
    assert_eq!(
        small.to_string(),
        "tensor_from_buffer: expected a buffer of at least 44 bytes, found one of 40"
    );
    let wrong = device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 64,
        usage: wgpu::BufferUsages::UNIFORM,
        mapped_at_creation: false,
    });
    assert!(matches!(ours.tensor_from_buffer(wrong, [4]).unwrap_err(), Error::Unsupported { .. }));
    assert!(matches!(
        Device::cpu().tensor_from_buffer(input, [4]).unwrap_err(),
        Error::Unsupported { .. }
    ));
    assert!(ours.wgpu().is_some() && Device::cpu().wgpu().is_none());
}

#[test]
fn a_lost_device_is_one_clear_error_from_then_on() {
    for shared in common::adapters() {
        let device = Device::open(shared.info()).unwrap();
        let z = device.tensor(&[1.0, 2.0], [2]).unwrap();
        let pending = Activation::Relu.forward(&z).unwrap();
        let (raw, _) = device.wgpu().unwrap();
        raw.destroy();
        let results = [
            pending.to_vec().map(drop),
            Activation::Sigmoid.forward(&z).and_then(|y| y.to_vec()).map(drop),
            device.tensor(&[1.0], [1]).and_then(|z| z.to_vec()).map(drop),
            z.write(&[0.0, 0.0]).and_then(|()| device.flush()),
            device.synchronize(),
            pollster::block_on(z.read()).map(drop),
        ];
        for (i, result) in results.into_iter().enumerate() {
            let error = result.unwrap_err();
            assert!(matches!(error, Error::DeviceLost { .. }), "{device:?} call {i}: {error}");
        }
    }
}

#[test]
fn a_hosts_buffers_that_cannot_be_used_are_errors_and_not_panics() {
    let usage =
        wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
    let descriptor =
        wgpu::BufferDescriptor { label: None, size: 64, usage, mapped_at_creation: false };
    let (adapter, device, queue) = host();
    let (_, other, _) = host();
    let ours = Device::from_wgpu(&adapter, device.clone(), queue.clone()).unwrap();
    // A buffer of another device.
    let foreign = other.create_buffer(&descriptor);
    assert!(ours.tensor_from_buffer(foreign, [4]).is_err());
    // Destroyed before it is used: see tests/faults.rs.
    let buffer = device.create_buffer(&descriptor);
    let z = ours.tensor_from_buffer(buffer.clone(), [4]).unwrap();
    assert_eq!(Activation::Relu.forward(&z).unwrap().to_vec().unwrap(), [0.0; 4]);
    buffer.destroy();
    let result = Activation::Relu.forward(&z).and_then(|y| y.to_vec());
    assert!(result.is_err());
    // The device still works.
    let z = ours.tensor(&[-1.0, 1.0], [2]).unwrap();
    assert_eq!(Activation::Relu.forward(&z).unwrap().to_vec().unwrap(), [0.0, 1.0]);
    // The host may destroy the device while a read is in progress.
    let reading = z.read();
    device.destroy();
    drop(pollster::block_on(reading));
    assert!(Activation::Relu.forward(&z).and_then(|y| y.to_vec()).is_err());
}

#[test]
fn large_uploads_are_handed_over_with_a_flush_and_before_they_pile_up() {
    for shared in common::adapters() {
        let device = Device::open(shared.info()).unwrap();
        let z = device.zeros([1 << 20]).unwrap();
        device.synchronize().unwrap();
        let before = device.counters().submissions;
        z.write(&vec![1.0; 1 << 20]).unwrap();
        device.flush().unwrap();
        assert_eq!(device.counters().submissions, before + 1);
        for _ in 0..40 {
            z.write(&vec![2.0; 1 << 20]).unwrap();
        }
        assert!(device.counters().submissions > before + 1);
        // So are copies and zeros that are never flushed.
        let before = device.counters().submissions;
        for _ in 0..600 {
            drop(device.zeros([4]).unwrap());
        }
        assert!(device.counters().submissions > before);
    }
}

#[test]
fn the_cpu_backend_can_be_used_from_rayons_threads() {
    let device = Device::cpu();
    let values = normal(100_000, 1.0, 1);
    let z = device.tensor(&values, [100_000]).unwrap();
    let shared = device.zeros([100_000]).unwrap();
    // Tasks on the same tensors, which a waiting thread may run while it is inside another task.
    rayon::scope(|scope| {
        for i in 0..64 {
            let (z, shared) = (&z, &shared);
            scope.spawn(move |_| match i % 3 {
                0 => Activation::Tanh.forward_into(z, shared).unwrap(),
                1 => Activation::Sigmoid.forward_into(z, shared).unwrap(),
                _ => drop(Activation::Relu.forward(shared).unwrap().to_vec().unwrap()),
            });
        }
    });
    let result = shared.to_vec().unwrap();
    let whole = |activation: Activation| activation.forward(&z).unwrap().to_vec().unwrap();
    assert!(result == whole(Activation::Tanh) || result == whole(Activation::Sigmoid));
}

#[test]
fn tensors_larger_than_a_binding_are_worked_in_windows() {
    // A host device with WebGPU's default limits binds 128 MiB; a tensor of 160 MiB needs two windows.
    let (adapter, device, queue) = host();
    let device = Device::from_wgpu(&adapter, device, queue).unwrap();
    let length = 42_000_007;
    assert!(
        length as u64 * 4 > device.info().max_binding_bytes
            && length as u64 * 4 < device.info().max_tensor_bytes
    );
    let values: Vec<f32> = (0..length).map(|i| ((i % 1999) as f32 - 999.0) * 0.01).collect();
    let z = device.tensor(&values, [length]).unwrap();
    let y = Activation::Tanh.backward(&z, &z).unwrap().to_vec().unwrap();
    let exact: Vec<f64> = (0..1999)
        .map(|i| {
            let z = f64::from(values[i]);
            z * reference::derivative(&Activation::Tanh, z)
        })
        .collect();
    for (i, chunk) in y
        .chunks(1999)
        .enumerate()
        .step_by(97)
        .chain(y.chunks(1999).enumerate().skip(16_000).step_by(777))
    {
        assert_all(format!("chunk {i}"), chunk, &exact[..chunk.len()], Within::Ulps(4.0));
    }
    let last = length - 1;
    assert_eq!(y[last], y[last % 1999]);

    // Rows that do not end at a window's end, and the sum of a loss over the whole tensor.
    let rows = z.reshape([length / 7, 7]).unwrap();
    let p = Activation::Softmax.forward(&rows).unwrap().to_vec().unwrap();
    for row in [0, 1, length / 14, length / 7 - 2, length / 7 - 1] {
        let exact =
            reference::forward(&Activation::Softmax, &wide(&values[row * 7..row * 7 + 7]), 7);
        assert_all(format!("row {row}"), &p[row * 7..row * 7 + 7], &exact, Within::Ulps(4.0));
    }
    drop(p);
    // The sum of rows so long that a window holds only one.
    let x = device.tensor(&[1.0, 2.0], [2, 1]).unwrap();
    let (step, half) = (17_000_003, 17_000_003 / 2);
    let w = device.tensor(&values[..step], [1, step]).unwrap();
    let t = device.zeros([2, step]).unwrap();
    let layer = OutputLayer::new(Activation::Identity, Loss::HalfSquaredError)
        .reduction(wgrad::Reduction::Sum)
        .outputs(wgrad::Outputs::DB);
    let db = layer.gradients(&x, &w, None, &t).unwrap().db.to_vec().unwrap();
    for i in [0, half, step - 1] {
        assert_all(format!("db[{i}]"), &[db[i]], &[3.0 * f64::from(values[i])], Within::Ulps(1.0));
    }
    drop((db, x, w, t));
    let zero = device.zeros([length]).unwrap();
    let loss = Loss::Mse.forward(&z, &zero, wgrad::Reduction::Mean).unwrap().item().unwrap();
    let exact = values.iter().map(|&z| f64::from(z) * f64::from(z)).sum::<f64>() / length as f64;
    assert_all("mse", &[loss], &[exact], Within::Approx { relative: 1e-6, absolute: 0.0 });
}

#[test]
fn matrices_larger_than_a_binding_are_multiplied_in_windows() {
    let (adapter, device, queue) = host();
    let device = Device::from_wgpu(&adapter, device, queue).unwrap();
    // Each of x, w and dz is larger than 128 MiB in one of these; with these values the sums are exact.
    for (batch, inputs, outputs) in [(12_000_000, 3, 2), (2, 12_000_000, 3), (3, 20_000, 2_003)] {
        let value = |i: usize, m: usize| ((i * 7 + i / m) % 5) as f32 - 2.0;
        let x: Vec<f32> = (0..batch * inputs).map(|i| value(i, inputs)).collect();
        let w: Vec<f32> = (0..inputs * outputs).map(|i| value(i, outputs)).collect();
        let xd = device.tensor(&x, [batch, inputs]).unwrap();
        let wd = device.tensor(&w, [inputs, outputs]).unwrap();
        let layer = wgrad::Dense::new(Activation::Identity);
        let forward = layer.forward(&xd, &wd, None).unwrap();
        let y = forward.y.to_vec().unwrap();
        for i in [0, 1, y.len() / 3, y.len() / 2 + 1, y.len() - 1] {
            let (row, column) = (i / outputs, i % outputs);
            let exact: f64 = (0..inputs)
                .map(|k| f64::from(x[row * inputs + k]) * f64::from(w[k * outputs + column]))
                .sum();
            let within = Within::Approx { relative: 1e-5, absolute: 1.0 };
            assert_all(format!("y[{row}, {column}]"), &[y[i]], &[exact], within);
        }
        let gradients = layer.backward(&xd, &wd, &forward, &forward.y).unwrap();
        let dx = gradients.dx.to_vec().unwrap();
        for i in [0, dx.len() / 2 + 1, dx.len() - 1] {
            let (row, k) = (i / inputs, i % inputs);
            let exact: f64 = (0..outputs)
                .map(|j| f64::from(y[row * outputs + j]) * f64::from(w[k * outputs + j]))
                .sum();
            let within = Within::Approx { relative: 1e-3, absolute: 0.0 };
            assert_all(format!("dx[{row}, {k}]"), &[dx[i]], &[exact], within);
        }
        let dw = gradients.dw.to_vec().unwrap();
        for i in [0, dw.len() / 2, dw.len() - 1] {
            let (k, column) = (i / outputs, i % outputs);
            let exact: f64 = (0..batch)
                .map(|row| f64::from(x[row * inputs + k]) * f64::from(y[row * outputs + column]))
                .sum();
            let within = Within::Approx { relative: 1e-3, absolute: 1.0 };
            assert_all(format!("dw[{k}, {column}]"), &[dw[i]], &[exact], within);
        }
    }
}

#[test]
fn shapes_convert_from_arrays_slices_and_vectors() {
    let device = Device::cpu();
    let shapes: [Shape; 5] = [
        [2, 3].into(),
        (&[2, 3]).into(),
        [2, 3].as_slice().into(),
        vec![2, 3].into(),
        (&vec![2, 3]).into(),
    ];
    for shape in &shapes {
        assert_eq!(device.zeros(shape).unwrap().shape(), [2, 3]);
    }
    assert_eq!(device.tensor(&[4.0], []).unwrap().item().unwrap(), 4.0);
}

#[test]
fn public_types_can_be_shared_between_threads() {
    fn check<T: Send + Sync + 'static>() {}
    check::<Device>();
    check::<Tensor>();
    check::<wgrad::Labels>();
    check::<Error>();
    check::<wgrad::Sgd>();
    check::<wgrad::AdamW>();
}
