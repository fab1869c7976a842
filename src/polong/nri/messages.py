"""The messages of NRI that are used here, by field number, as protobuf classes made at import. Fields that are left out pass unseen.

Source: containerd/nri pkg/api/api.proto (v1alpha1), containerd/ttrpc request.proto, google/rpc/status.proto.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_PACKAGE = "nri.pkg.api.v1alpha1"
_SCALARS = {
    "string": descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
    "bytes": descriptor_pb2.FieldDescriptorProto.TYPE_BYTES,
    "int32": descriptor_pb2.FieldDescriptorProto.TYPE_INT32,
    "int64": descriptor_pb2.FieldDescriptorProto.TYPE_INT64,
    "uint32": descriptor_pb2.FieldDescriptorProto.TYPE_UINT32,
    "uint64": descriptor_pb2.FieldDescriptorProto.TYPE_UINT64,
    "bool": descriptor_pb2.FieldDescriptorProto.TYPE_BOOL,
}

# One message a paragraph: `number type name`, `*` before a repeated one, `map` for map<string, string>.
_TEXT = """
Request: 1 string service, 2 string method, 3 bytes payload, 4 int64 timeout_nano
RpcStatus: 1 int32 code, 2 string message
Response: 1 RpcStatus status, 2 bytes payload

Empty:
RegisterPluginRequest: 1 string plugin_name, 2 string plugin_idx, 3 string NRI_version
ConfigureRequest: 1 string config, 2 string runtime_name, 3 string runtime_version, 4 int64 registration_timeout,\
 5 int64 request_timeout, 6 string NRI_version
ConfigureResponse: 2 int32 events
SynchronizeRequest: 1 *PodSandbox pods, 2 *Container containers, 3 bool more
SynchronizeResponse: 1 *Change update, 2 bool more
StateChangeEvent: 1 int32 event, 2 PodSandbox pod, 3 Container container
ContainerRequest: 1 PodSandbox pod, 2 Container container, 3 LinuxResources linux_resources
CreateContainerResponse: 1 Change adjust, 2 *Change update, 3 *Change evict
ContainerResponse: 1 *Change update, 2 *Change evict
UpdateContainersRequest: 1 *Change update, 2 *Change evict
Change:

PodSandbox: 1 string id, 2 string name, 3 string uid, 4 string namespace, 5 map labels, 6 map annotations, 7 string runtime_handler,\
 8 LinuxPodSandbox linux, 9 uint32 pid, 10 *string ips
LinuxPodSandbox: 3 string cgroup_parent, 4 string cgroups_path
Container: 1 string id, 2 string pod_sandbox_id, 3 string name, 4 int32 state, 5 map labels, 6 map annotations, 7 *string args,\
 8 *string env, 9 *Mount mounts, 11 LinuxContainer linux, 12 uint32 pid, 14 int64 created_at, 15 int64 started_at,\
 16 int64 finished_at, 17 int32 exit_code, 18 string status_reason, 19 string status_message, 21 User user
Mount: 1 string destination, 2 string type, 3 string source, 4 *string options
LinuxContainer: 1 *LinuxNamespace namespaces, 3 LinuxResources resources, 4 OptionalInt oom_score_adj, 5 string cgroups_path
LinuxNamespace: 1 string type, 2 string path
LinuxResources: 1 LinuxMemory memory, 2 LinuxCPU cpu, 6 map unified
LinuxMemory: 1 OptionalInt limit, 3 OptionalInt swap
LinuxCPU: 1 OptionalUInt shares, 2 OptionalInt quota, 3 OptionalUInt period, 6 string cpus, 7 string mems
OptionalInt: 1 int64 value
OptionalUInt: 1 uint64 value
User: 1 uint32 uid, 2 uint32 gid, 3 *uint32 additional_gids
"""


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="polong/nri.proto", package=_PACKAGE, syntax="proto3")
    for line in filter(None, _TEXT.splitlines()):
        name, _, fields = line.partition(":")
        message = file.message_type.add(name=name)
        for field in filter(None, (part.strip() for part in fields.split(","))):
            number, kind, label = field.split()
            _add(message, int(number), kind, label)
    return file


def _add(message: descriptor_pb2.DescriptorProto, number: int, kind: str, name: str) -> None:
    repeated = kind.startswith("*") or kind == "map"
    field = message.field.add(name=name, number=number)
    field.label = descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED if repeated else descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL
    kind = kind.removeprefix("*")
    if kind == "map":
        entry = message.nested_type.add(name=f"{name.capitalize()}Entry")
        entry.options.map_entry = True
        _add(entry, 1, "string", "key")
        _add(entry, 2, "string", "value")
        kind = f"{message.name}.{entry.name}"
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type = descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE
        field.type_name = f".{_PACKAGE}.{kind}"


_POOL = descriptor_pool.DescriptorPool()
_POOL.Add(_file())


def message(kind: str, /, **fields: Any) -> Any:  # noqa: ANN401 - a class that no checker can see
    """A message by its name, with these fields."""
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{_PACKAGE}.{kind}"))(**fields)


def parse(name: str, data: bytes) -> Any:  # noqa: ANN401 - as above
    """ValueError where it is none."""
    result = message(name)
    try:
        result.ParseFromString(data)
    except Exception as error:  # protobuf's own kind differs between its implementations
        raise ValueError(f"not a {name}") from error
    return result
