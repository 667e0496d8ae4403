import type { Counter, Gauge } from '../../observe/metric-cells.ts';
import type { Metrics } from '../../observe/metrics.ts';

/** What a pageserver counts of its dealings with object storage. */
export class RemoteMetrics {
  readonly layerUploads: Counter;
  readonly layerUploadBytes: Counter;
  readonly layerUploadErrors: Counter;
  readonly layersWaiting: Gauge;
  readonly indexUploads: Counter;
  readonly indexUploadErrors: Counter;
  readonly layerDownloads: Counter;
  readonly layerDownloadBytes: Counter;
  readonly layerDownloadErrors: Counter;
  readonly staleIndexUploads: Counter;
  readonly validationErrors: Counter;
  readonly deletionsSubmitted: Counter;
  readonly deletionsExecuted: Counter;
  readonly deletionsDropped: Counter;
  readonly deletionsPending: Gauge;
  readonly deletionErrors: Counter;
  readonly deletionListsRefused: Counter;

  constructor(metrics: Metrics) {
    const remote = (name: string, help: string): Counter =>
      metrics.counter(`pageserver_remote_${name}_total`, help);
    this.layerUploads = remote('layer_uploads', 'Layers that were uploaded');
    this.layerUploadBytes = remote('layer_upload_bytes', 'Bytes of layers that were uploaded');
    this.layerUploadErrors = remote('layer_upload_errors', 'Failed tries to upload a layer');
    this.layersWaiting = metrics.gauge(
      'pageserver_remote_layers_waiting',
      'Layers that are not uploaded yet',
    );
    this.indexUploads = remote('index_uploads', 'Indexes that were uploaded');
    this.indexUploadErrors = remote('index_upload_errors', 'Failed tries to upload an index');
    this.layerDownloads = remote('layer_downloads', 'Layers that were downloaded');
    this.layerDownloadBytes = remote('layer_download_bytes', 'Bytes of layers that were downloaded');
    this.layerDownloadErrors = remote('layer_download_errors', 'Failed downloads of layers');
    this.staleIndexUploads = remote('stale_index_uploads', 'Indexes put after another node had taken over');
    this.validationErrors = remote('validation_errors', 'Failed tries to validate generations');
    const deletion = (name: string, help: string): Counter =>
      metrics.counter(`pageserver_deletion_queue_${name}_total`, help);
    this.deletionsSubmitted = deletion('submitted', 'Objects that were submitted for removal');
    this.deletionsExecuted = deletion('executed', 'Objects that were removed');
    this.deletionsDropped = deletion('dropped', 'Objects that stay, since the generation was not current');
    this.deletionErrors = deletion('errors', 'Failed tries to write, validate or execute deletions');
    this.deletionListsRefused = deletion('lists_refused', 'Deletion lists that could not be read');
    this.deletionsPending = metrics.gauge(
      'pageserver_deletion_queue_pending',
      'Objects that wait for removal',
    );
  }
}
