/*
 * The steps of a service's pipeline, which jenkins/SERVICE/Jenkinsfile loads. Nothing is decided here but the order and who gets which
 * secret: each step runs a make target that runs anywhere (docs/pipelines.md).
 *
 * Wants nodes labelled debian-12 (git, make, root or sudo) with docker or podman, and cosign, and these credentials: `registry` (user and
 * password), `signing-key` and `signing-public-key` (files, of `cosign generate-key-pair`), `signing-key-password` (a secret text), `gitops`
 * (user and password of a git remote), `dev-kubeconfig` (a file). In the folder or globally set: REGISTRY, SHOP_URL, GITOPS_REMOTE
 * ("https://git.example.com/shop/duka.git").
 */

/** What a change is compared with: where a pull request goes to, or (empty) what the service shipped last. */
String base() {
    return env.CHANGE_TARGET ? "origin/${env.CHANGE_TARGET}" : ''
}

/** Whether tools/affected names the service, for shipping or (with TEST=1) for testing. */
boolean touches(String options) {
    return sh(script: "make --silent affected IS=\"\$SERVICE\" ${options}", returnStdout: true).trim() == 'yes'
}

/** One stage: the make target of its name. */
void target(String name, int minutes) {
    stage(name) {
        timeout(time: minutes, unit: 'MINUTES') {
            sh "make pipe-${name}"
        }
    }
}

/** What every change goes through. */
void check() {
    target('lint', 15)
    target('build', 30)
    target('unit', 60)
    target('contracts', 15)
}

/** A name and a password, as the stages call them. */
Object login(String id, String prefix) {
    return usernamePassword(credentialsId: id, usernameVariable: "${prefix}_USER", passwordVariable: "${prefix}_PASSWORD")
}

/** What ships from the main branch. No two builds of a service write deploy/gitops at the same time. */
void ship(String service) {
    withCredentials([login('registry', 'REGISTRY')]) {
        target('image', 60)
    }
    target('sbom', 10)
    target('scan', 15)
    withCredentials([login('registry', 'REGISTRY'), file(credentialsId: 'signing-key', variable: 'SIGN_KEY'),
                     string(credentialsId: 'signing-key-password', variable: 'COSIGN_PASSWORD')]) {
        target('sign', 10)
    }
    lock("ship-${service}") {
        withCredentials([login('registry', 'REGISTRY'), login('gitops', 'GITOPS'),
                         file(credentialsId: 'signing-public-key', variable: 'SIGN_PUBLIC_KEY')]) {
            target('deploy', 10)
        }
        withCredentials([login('gitops', 'GITOPS'), file(credentialsId: 'dev-kubeconfig', variable: 'KUBECONFIG')]) {
            target('e2e', 30)
        }
    }
    withCredentials([login('gitops', 'GITOPS')]) {
        target('promote', 10)
    }
}

/** The whole pipeline of a service. */
void all(String service) {
    withEnv(["SERVICE=${service}", "BASE=${base()}"]) {
        if (!touches('TEST=1')) {
            echo "Nothing of ${service} was touched."
            return
        }
        check()
        if (env.BRANCH_NAME == 'main' && touches('')) {
            ship(service)
        }
    }
}

return this
