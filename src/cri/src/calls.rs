//! The table of CRI calls: a line each, from which trait, client and server are made. Says nothing about what they do.

/// Hands every unary call to the macro `$then`, as `service method Request Response "what it does"`..
macro_rules! for_each_call {
    ($then:ident) => {
        $then! {
            runtime version VersionRequest VersionResponse "Name and versions of the runtime.";
            runtime status StatusRequest StatusResponse "Whether runtime and network are ready.";
            runtime update_runtime_config UpdateRuntimeConfigRequest UpdateRuntimeConfigResponse
                "Takes the node's pod CIDR.";
            runtime runtime_config RuntimeConfigRequest RuntimeConfigResponse "The cgroup driver in use.";
            runtime run_pod_sandbox RunPodSandboxRequest RunPodSandboxResponse
                "Makes a sandbox and its network; ready when it returns.";
            runtime stop_pod_sandbox StopPodSandboxRequest StopPodSandboxResponse
                "Kills what runs in a sandbox and gives back its network; idempotent.";
            runtime remove_pod_sandbox RemovePodSandboxRequest RemovePodSandboxResponse
                "Removes a sandbox and its containers; idempotent.";
            runtime pod_sandbox_status PodSandboxStatusRequest PodSandboxStatusResponse
                "One sandbox; `NotFound` if there is none.";
            runtime list_pod_sandbox ListPodSandboxRequest ListPodSandboxResponse "Sandboxes by filter.";
            runtime create_container CreateContainerRequest CreateContainerResponse
                "Prepares a container; nothing runs yet.";
            runtime start_container StartContainerRequest StartContainerResponse "Runs a created container.";
            runtime stop_container StopContainerRequest StopContainerResponse
                "Stop signal, then KILL after the timeout (seconds); idempotent.";
            runtime remove_container RemoveContainerRequest RemoveContainerResponse
                "Removes a container, killing it if need be; idempotent.";
            runtime list_containers ListContainersRequest ListContainersResponse "Containers by filter.";
            runtime container_status ContainerStatusRequest ContainerStatusResponse
                "One container; `NotFound` if there is none.";
            runtime update_container_resources UpdateContainerResourcesRequest UpdateContainerResourcesResponse
                "Changes the limits of a container.";
            runtime reopen_container_log ReopenContainerLogRequest ReopenContainerLogResponse
                "Opens the log file anew after a rotation.";
            runtime exec_sync ExecSyncRequest ExecSyncResponse
                "Runs a command in a container to its end; `DeadlineExceeded` when it takes longer than its timeout.";
            runtime exec ExecRequest ExecResponse "The URL where a command's streams will be served.";
            runtime attach AttachRequest AttachResponse "The URL where a container's own streams will be served.";
            runtime port_forward PortForwardRequest PortForwardResponse
                "The URL where a sandbox's ports will be served.";
            runtime container_stats ContainerStatsRequest ContainerStatsResponse "Resource usage of one container.";
            runtime list_container_stats ListContainerStatsRequest ListContainerStatsResponse
                "Resource usage of containers by filter.";
            runtime pod_sandbox_stats PodSandboxStatsRequest PodSandboxStatsResponse
                "Resource usage of one sandbox.";
            runtime list_pod_sandbox_stats ListPodSandboxStatsRequest ListPodSandboxStatsResponse
                "Resource usage of sandboxes by filter.";
            image list_images ListImagesRequest ListImagesResponse "The images present.";
            image image_status ImageStatusRequest ImageStatusResponse
                "One image; an answer without an image if it is not present.";
            image pull_image PullImageRequest PullImageResponse "Fetches an image from its registry.";
            image remove_image RemoveImageRequest RemoveImageResponse "Removes an image; idempotent.";
            image image_fs_info ImageFsInfoRequest ImageFsInfoResponse "Usage of the file system of the images.";
        }
    };
}

pub(crate) use for_each_call;
