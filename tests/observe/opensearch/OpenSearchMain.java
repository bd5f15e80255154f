import org.codelibs.opensearch.runner.OpenSearchRunner;

/** One node of OpenSearch on loopback: OpenSearchMain FOLDER HTTP_PORT TRANSPORT_PORT. */
public class OpenSearchMain {
    public static void main(String[] words) throws Exception {
        OpenSearchRunner runner = new OpenSearchRunner();
        runner.onBuild((number, settings) -> {
            settings.put("network.host", "127.0.0.1");
            settings.put("http.port", words[1]);
            settings.put("transport.port", words[2]);
            settings.put("discovery.type", "single-node");
            settings.putList("discovery.seed_hosts");
        }).build(OpenSearchRunner.newConfigs().basePath(words[0]).numOfNode(1).clusterName("duka-tests"));
        Thread.sleep(Long.MAX_VALUE);
    }
}
